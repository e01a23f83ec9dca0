"""What the pages of docs/reference say, read where it stands: one module a source.

Not here: the pages themselves (`docs/generate_reference.py`).
"""
