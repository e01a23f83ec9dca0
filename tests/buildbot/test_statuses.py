"""A real master with more than a thousand agents is told less often what they are (rule 27)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from contracts import topology
from contracts.codec import decode, encode
from contracts.messages import Alive, Status
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.ways import OTHER_PROGRAMS

pytestmark = [pytest.mark.rabbitmq(OTHER_PROGRAMS), pytest.mark.long, pytest.mark.timeout(180)]

CONFIG = """
c['workers'] = worker.amqp_column("any", workers=1, requires=["any"])
builder("any", c['workers'], steps.ShellCommand(command="true"))
"""


def heard(channel: Any, exchange: str, key: str) -> Iterator[Any]:
    """Messages from now on."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, key)
    return (decode(body, {}) for _, _, body in channel.consume(queue, auto_ack=True))


def test_a_master_says_how_often_and_a_real_agent_does_so(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], amqp_url: str
) -> None:
    make_master(CONFIG)
    make_agent("real")
    parameters = pika.URLParameters(amqp_url)
    connection = pika.BlockingConnection(parameters)
    user = parameters.credentials.username
    channel, listening = connection.channel(), connection.channel()
    alive = heard(listening, topology.CONTROL, topology.BROADCAST)
    before = next(message for message in alive if isinstance(message, Alive))
    for number in range(1_000):
        status = Status(
            instance=f"i-{number}", agent=f"a-{number}", epoch=1, version="1", now=time.time(), state="ready",
            address=topology.control_address(topology.key_word(user), f"i-{number}", "0"), slots=(), capabilities=(),
            every=60,
        )  # fmt: skip
        wire = encode(status)
        properties = pika.BasicProperties(type=wire.type, content_type=wire.content_type, user_id=user)
        channel.basic_publish(topology.FLEET, topology.STATUS_KEY, wire.body, properties)
    wanted = next(message for message in alive if isinstance(message, Alive) and message.status_every != 5)
    listening.cancel()
    assert (before.status_every, wanted.status_every) == (5, 10)
    statuses = heard(connection.channel(), topology.FLEET, topology.STATUS_KEY)
    real = (status for status in statuses if status.agent == "real")
    told = [next(status for status in real if status.every == 10) for _ in range(3)]
    assert told[2].now - told[1].now > 9
    connection.close()
