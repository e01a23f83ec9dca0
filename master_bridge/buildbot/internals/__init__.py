"""What leans on Buildbot's own behaviour beyond its documented interfaces: wrapped calls, private names, its gaps.

Read in Buildbot 4.2.1 and 4.3.0. `tests/unit/bridge_edge/internals/test_internals.py` names each name that is leant on.
"""
