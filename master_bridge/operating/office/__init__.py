"""Operators' commands at a master that is its own broker: frames over AMP, blocking.

Not here: what a command does, and what a frame is (`contracts.frames`).
"""
