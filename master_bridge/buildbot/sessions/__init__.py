"""Buildbot's side of a session: its `Connection`, and the remote commands that run in it."""
