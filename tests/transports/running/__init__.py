"""What operators do on agents, over each transport: the way there is what differs.

Not here: what needs to be seen once only (tests/broker/running).
"""
