"""Searches and sessions that come to their end, and how."""
