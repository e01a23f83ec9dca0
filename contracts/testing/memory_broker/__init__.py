"""RabbitMQ in memory: broker, connections, channels, queues and the network between. No socket, no real time.

A part knows those below it: queues, then channels, connections, the broker; what it needs of one above is a
`Protocol` of its own. Not here: anything of our messages.
"""
