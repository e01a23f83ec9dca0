"""What leans on Buildbot beyond its documented interfaces: wrapped calls, private names, its gaps.

Read in Buildbot 4.2.1 and 4.3.0. `tests/unit/bridge_edge/internals/test_internals.py` names each name that is leant on.

Not here: what needs none of that. A test finds Buildbot's private names anywhere else.
"""
