"""The agent's link over RabbitMQ: one connection, supervised consumers, confirmed publishing.

Nothing outside this package knows aio-pika. Not here: when to connect again (`link`).
"""
