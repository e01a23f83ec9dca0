"""RabbitMQ's management API over HTTP: what AMQP itself cannot ask or set.

Not here: AMQP, and what is shown to people.
"""
