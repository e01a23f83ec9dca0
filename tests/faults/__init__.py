"""The same as in tests/simulation, for real: a real broker, master and agents, real signals, real networks."""
