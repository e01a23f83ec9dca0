"""RabbitMQ by version: who answers, what each queue is declared with, what a refusal means, what holds where. Pure.

Not here: connections. Callers say what a broker told them.
"""
