"""Faults of the broker, and messages that nobody should send."""
