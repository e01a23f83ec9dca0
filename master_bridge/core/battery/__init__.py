"""A battery of tests over the fleet: units, timings and what happened go in, shards and results come out. Pure.

Not here: how a shard gets to an agent, and what its report says (`buildbot/battery`).
"""
