"""Which RabbitMQ a test runs on: `make test-brokers` runs those marked `brokers` on each generation."""

from __future__ import annotations

import pika

from contracts.rabbitmq.product import Version, introduced


def version_of(url: str) -> Version:
    """Of the broker at this AMQP URL."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        return introduced(connection._impl.server_properties).version
