"""Test doubles as product: import them to test your own columns and workers.

`rabbitmq_node`     a private RabbitMQ node as a child process (standard library only)
`rabbitmq_cluster`  several of them, joined
"""
