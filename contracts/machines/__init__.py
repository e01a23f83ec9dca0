"""What both cores are built with: transitions as a table, exhaustive dispatch, bounded memory. Pure.

Not here: anything of a protocol or of a side. Standard library only.
"""
