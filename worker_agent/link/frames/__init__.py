"""The agent's link to a post office, where a master is its own broker: frames over a wire.

One module a wire, and the link on top of them. Not here: what a frame is (`contracts.frames`).
"""
