"""What both sides agree on: messages, requirements and signatures, names on the broker, times.

Imports nothing of `master_bridge` or `worker_agent`, and needs neither Buildbot nor an AMQP library.
"""
