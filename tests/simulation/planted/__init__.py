"""Planted faults: machines that break one rule each."""
