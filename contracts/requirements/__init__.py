"""Requirements: what a column asks of an agent. Terms, grammar, versions, signatures, nearest misses. Pure."""
