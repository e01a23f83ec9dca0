"""Measurements against Buildbot's own protocols, in one run, side by side. `python -m benchmarks --help`."""
