"""Agents by ssh, both ways: what sshd runs for an agent's key, and the ssh with which a master reaches its agents.

Not here: the socket in the master's folder, to which both join their connections (`master_bridge.link.office`).
"""
