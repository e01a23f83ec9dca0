"""What the agent tells of itself: its status, metrics, health, columns and facts.

It is given snapshots (`snapshot`). Not here: the parts of the agent, and deciding anything.
"""
