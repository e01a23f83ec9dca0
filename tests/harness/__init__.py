"""Real masters and real agents as child processes, for tests of the whole: Buildbot, faults, parity, benchmarks."""
