"""Buildbot's remote commands, as a keeper carries them out.

Not here: how a process is started and ended (`processes`).
"""
