"""The table of arguments against the broker itself: it takes each queue as we declare it, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from contracts.rabbitmq.arguments import CONSUMER_TIMEOUT, Kind, QueueType, arguments
from contracts.rabbitmq.facts import facts
from contracts.rabbitmq.product import introduced

pytestmark = pytest.mark.brokers

Connect = Callable[..., BlockingChannel]


def test_the_broker_tells_its_version(connect: Connect) -> None:
    """All queues are declared by it, and it is one that we know something of."""
    product = introduced(connect().connection._impl.server_properties)
    assert product.name == "RabbitMQ"
    assert product.version >= (3, 10)
    assert facts(product.version)


@pytest.mark.parametrize("queue_type", get_args(QueueType))
@pytest.mark.parametrize("kind", Kind)
def test_every_queue_is_taken_as_we_declare_it(connect: Connect, kind: Kind, queue_type: QueueType) -> None:
    """And found to be what we ask for when it is declared again."""
    channel = connect()
    version = introduced(channel.connection._impl.server_properties).version
    for _ in range(2):
        channel.queue_declare(
            "q",
            durable=kind not in (Kind.CONTROL, Kind.FLEET),
            exclusive=kind in (Kind.CONTROL, Kind.FLEET),
            arguments=arguments(kind, version=version, queue_type=queue_type),
        )


def test_a_classic_queue_with_a_consumer_timeout(connect: Connect) -> None:
    """Taken, and ignored before 3.12, up to 4.3.1; refused after it."""
    channel = connect()
    version = introduced(channel.connection._impl.server_properties).version
    wanted = {"x-queue-type": "classic", "x-consumer-timeout": CONSUMER_TIMEOUT}
    if version < (4, 3, 2):
        channel.queue_declare("q", durable=True, arguments=wanted)
        return
    with pytest.raises(ChannelClosedByBroker) as refused:
        channel.queue_declare("q", durable=True, arguments=wanted)
    assert "invalid arg 'x-consumer-timeout'" in refused.value.reply_text
