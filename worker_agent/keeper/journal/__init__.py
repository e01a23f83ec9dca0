"""The keeper's side of the journal: what is written, how it stands on disk, and how much of it may wait.

Not here: reading it in the main process (`worker_agent.keepers.journal_reader`).
"""
