"""A build's or a step's way to an agent: offer, wait, prefer, find, or give up.

Not here: what runs once an agent is there (`sessions`).
"""
