"""Requirements: what a column asks of an agent. Terms, grammar, versions, signatures, nearest misses. Pure.

Not here: what an agent finds on its machine (`worker_agent.capabilities`), and queues on a broker.
"""
