"""Buildbot's side of a session: its `Connection`, and the remote commands that run in it.

Not here: finding an agent (`search`), storing what it says (`output`).
"""
