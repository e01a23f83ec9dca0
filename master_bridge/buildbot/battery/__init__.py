"""`steps.Battery` in Buildbot: shards as command offers, what prepares machines, reports, timings, pictures.

Not here: which units make a shard, and which result counts (`core/battery`); how an agent is found (`search`).
"""
