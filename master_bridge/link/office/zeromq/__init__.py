"""Agents that come by ZeroMQ: keys, the ROUTER on Twisted's reactor, and the connections before it.

Not here: who is let in with a key (`master_bridge.link.office`).
"""
