"""Plain AMQP clients: these tests state what the broker does, so none of our code stands between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.topology.waiting import DEADLINE


@pytest.fixture
def connect(amqp_url: str) -> Iterator[Callable[..., BlockingChannel]]:
    """Opens a channel on a connection of its own, on the test's vhost or on `url`."""
    opened: list[BlockingChannel] = []

    def connect(url: str = amqp_url) -> BlockingChannel:
        parameters = pika.URLParameters(url)
        parameters.socket_timeout = parameters.blocked_connection_timeout = DEADLINE
        opened.append(pika.BlockingConnection(parameters).channel())
        return opened[-1]

    yield connect
    for channel in opened:
        with suppress(AMQPError):  # the broker closed it first, or the test killed the broker
            channel.connection.close()


@pytest.fixture(scope="module")
def fragile_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A node of this module alone: may be killed, put under alarms; takes held deliveries back after 3 to 5 s."""
    folder: Path = tmp_path_factory.mktemp("fragile")
    advanced = "[{rabbit, [{consumer_timeout, 3000}, {channel_tick_interval, 1000}]}]."
    with RabbitMQNode(folder, advanced=advanced) as running:
        yield running
