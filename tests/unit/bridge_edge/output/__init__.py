"""Output and files between Buildbot and an agent."""
