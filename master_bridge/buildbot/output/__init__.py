"""A command's output on its way into Buildbot's logs: lines, secrets out of it, storing, room for it.

Not here: files (`files`).
"""
