"""Pipelines: the lines that a program of a repository says, and what each may ask for. Pure.

Not here: in which order steps run (`master_bridge.core.pipeline`), and what Buildbot makes of them.
"""
