"""One small process a session: it owns the session's journal and the processes of its commands.

`client` is what the agent's main process uses and `reader` reads the journal; everything else runs inside the
keeper, which imports the standard library, psutil and `contracts.digest` only (it starts with every session).
"""
