"""The agent's link to its masters: a port, what reads that comes, how a link is kept up; below, a folder a transport.

Messages come in as inputs of the machine, its actions go out. Not here: rules of the protocol (`core`).
"""
