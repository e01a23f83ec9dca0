"""`master-bridge run`, `put`, `get` and what else operators do on agents, over a real RabbitMQ.

Not here: the same without RabbitMQ (tests/transports/running).
"""
