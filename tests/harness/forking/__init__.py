"""Masters and agents forked from processes that have imported what they do: most of a start is its imports."""
