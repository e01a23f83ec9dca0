"""RabbitMQ in memory: broker, connections, channels, queues and the network between. No socket, no real time."""
