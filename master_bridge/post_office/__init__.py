"""The post office: the small broker inside a master whose fleet has no RabbitMQ. Pure, in memory, bounded.

`office` takes inputs and gives actions; the rest are its parts. It serves one master, whose loss is its own. To the
machines on both sides that is a broker that lost everything, which they know how to heal. Not here: sockets, logins,
and what a message says.
"""
