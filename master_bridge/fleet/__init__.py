"""The fleet as people look at it, on Buildbot's page and in a terminal: agents, columns, what waits. Pure.

Not here: where it is heard (`buildbot/fleet`, `operating`), and how it looks (`www`, `cli`).
"""
