"""Test doubles as product: import them to test your own columns and workers.

`clock`             virtual time that jumps from deadline to deadline
`columns`           which agents of a fleet would serve which columns of a master.cfg
`doubles`           a master and a worker on the broker in memory, scripted by a test
`broker`            RabbitMQ in memory, on virtual time
`rabbitmq_node`     a private RabbitMQ node as a child process (standard library only)
`rabbitmq_cluster`  several of them, joined
"""
