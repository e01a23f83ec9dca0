"""Exchanges and queues of the bridge: declared, consumed, swept and removed.

Not here: connections, and what messages mean.
"""
