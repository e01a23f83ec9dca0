"""One connection to the broker, on pika and Twisted: the protocol, its channels, publishing with confirms.

Not here: which queues there are.
"""
