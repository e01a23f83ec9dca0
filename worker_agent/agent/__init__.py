"""The agent around its machine: the loop, what carries actions out, and what this machine can take at the moment.

Not here: rules of the protocol (`core`), AMQP (`link`), what is told to whom (`reporting`).
"""
