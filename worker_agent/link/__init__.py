"""The agent's link to RabbitMQ: two connections, supervised consumers, confirmed publishing, own reconnect.

Messages come in as inputs of the machine, its actions go out. Nothing outside this package knows aio-pika.

Not here: rules of the protocol (`core`).
"""
