"""The agent around its machine: the loop, what carries actions out, and what this machine can take at the moment."""
