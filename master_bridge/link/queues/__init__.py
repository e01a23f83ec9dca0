"""Exchanges and queues of the bridge: declared, consumed, swept and removed."""
