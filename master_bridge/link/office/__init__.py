"""Agents at this master's own door, without RabbitMQ: who may come in, and frames over wires to the post office.

Not here: what becomes of a frame (`master_bridge.post_office`).
"""
