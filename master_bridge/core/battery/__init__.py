"""A battery of tests over the fleet: units, timings and what happened go in, shards and results come out. Pure."""
