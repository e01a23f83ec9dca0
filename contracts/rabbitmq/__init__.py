"""RabbitMQ by version: who answers, what each queue is declared with, what a refusal means, what holds where. Pure."""
