"""Buildbot's remote commands, as a keeper carries them out."""
