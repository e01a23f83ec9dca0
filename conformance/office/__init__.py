"""The kit without a broker: a post office for one agent at a time, over frames on each wire that carries them.

Not here: the same over RabbitMQ (`conformance.broker`); a real master's post office (`master_bridge.post_office`).
"""
