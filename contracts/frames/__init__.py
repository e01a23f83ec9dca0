"""Frames: what an agent and a post office say to each other where no RabbitMQ is between them. Pure.

A frame is a JSON header and raw bytes; how the two travel is the wire's (AMP over TLS, ZeroMQ, SSH). The protocol's
messages pass through unread, as they pass through RabbitMQ: what carries them names the exchange, the routing key and
the verified user that RabbitMQ would name, so that whoever reads them believes the same (docs/protocol.md, rule 22).
Not here: a wire, a connection, a queue.
"""
