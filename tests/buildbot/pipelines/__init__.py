"""`steps.Pipeline` on real masters, with agents and with Buildbot's own workers."""
