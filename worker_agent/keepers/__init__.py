"""What the main process knows of keepers: their sockets, sessions, folders, starts and journals.

Not here: what runs inside a keeper (`worker_agent.keeper`).
"""
