"""The real RabbitMQ for tests: private nodes and clusters as child processes, on loopback only."""
