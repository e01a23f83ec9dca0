"""RabbitMQ's management API over HTTP: what AMQP itself cannot ask or set."""
