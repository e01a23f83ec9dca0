"""The master bridge: a plugin in an unmodified Buildbot master that brokers its work over RabbitMQ."""

__version__ = "0.1.0"
