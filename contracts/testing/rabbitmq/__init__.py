"""The real RabbitMQ for tests: private nodes and clusters as child processes, on loopback only.

Standard library only. Not here: clients.
"""
