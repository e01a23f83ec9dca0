"""The master bridge: a plugin in an unmodified Buildbot master that brokers its work over RabbitMQ.

Not here: modules of its own but `program`, where the command `master-bridge` begins.
"""
