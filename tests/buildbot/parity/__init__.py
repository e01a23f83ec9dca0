"""The same builds through Buildbot's own worker (PB and msgpack) and through an agent: they must look the same."""
