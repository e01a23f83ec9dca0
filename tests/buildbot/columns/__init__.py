"""Columns, their configuration and their workers, on a real master."""
