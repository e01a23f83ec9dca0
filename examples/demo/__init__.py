"""The main job on this machine: a broker, a Buildbot master, agents, and builds of this very repository.

`make demo`, or `python -m examples.demo --help`. `master.cfg` is the configuration to learn from; the rest starts the
parts, shows what happens and cleans up.
"""
