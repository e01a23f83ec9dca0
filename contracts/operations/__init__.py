"""What both sides' programs share and no wire knows: where a broker is, why it fails, findings, log lines.

Not here: messages, and whatever changes one of them. It may look at sockets and files; it needs no AMQP library.
"""
