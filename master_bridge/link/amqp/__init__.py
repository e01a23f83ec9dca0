"""The bridge's link over RabbitMQ: three AMQP connections, on Twisted, with reconnection.

`link` keeps it up and is its door, `connections` opens everything once. Nothing but this and the operators' tools knows
pika. Not here: what reads messages (`master_bridge.link.reader`).
"""
