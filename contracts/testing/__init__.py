"""Test doubles as product: import them to test your own columns and agents.

`clock`          virtual time that jumps from deadline to deadline
`columns`        which agents of a fleet would serve which columns of a master.cfg
`doubles`        a master and an agent on the broker in memory, scripted by a test
`child`          a child process that never outlives the one that started it
`memory_broker`  RabbitMQ in memory, on virtual time
`rabbitmq`       the real one: private nodes and clusters as child processes

Not here: helpers of this project's own tests (`tests/harness`). No program of ours imports it but the conformance kit.
"""
