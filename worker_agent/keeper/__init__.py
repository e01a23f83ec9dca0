"""One small process a session: it owns the session's journal and the processes of its commands.

It starts with every session, so it imports the standard library and psutil only, and of `contracts` what does no more.
Not here: what the main process does (`worker_agent.keepers`). No structlog, no pydantic, no AMQP.
"""
