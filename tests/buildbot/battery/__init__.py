"""`steps.Battery` on a real master, broker and agents."""
