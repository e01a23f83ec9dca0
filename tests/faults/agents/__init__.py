"""Faults of agents and their machines."""
