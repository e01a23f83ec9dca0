"""Priorities across masters, as docs/how-to/steering.md promises them for each broker version and type of queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
import pytest

from contracts.codec import decode
from contracts.messages import Offer
from contracts.testing.rabbitmq.node import USER
from contracts.topology import cap_queue
from tests.broker.bridge.conftest import RunningLink
from tests.harness.brokers import version_of
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.brokers

MakeLink = Callable[..., RunningLink]
#: Of two masters in turns, in the order in which they are published.
PUBLISHED = (0, 3, 10, 3, 0, 10, 7, 25, -4, 5)


def publish(make_link: MakeLink, channel: Any, **settings: Any) -> None:
    """All of `PUBLISHED` wait in the queue of both masters."""
    masters = {name: make_link(name, **settings) for name in ("m1", "m2")}
    for number, priority in enumerate(PUBLISHED):
        name = ("m1", "m2")[number % 2]
        offer = Offer(
            offer=f"{number}", request=f"br-{number}", master=name, user=USER, ticket="t", run=1, signature="gtk",
            kind="build", published=time.time(), builddir="b",
        )  # fmt: skip
        masters[name].call("publish_offer", offer, priority)
        wait_for(partial(_waiting, channel, number + 1), 60, f"offer {number} waits")


def depth(channel: Any) -> int:
    try:
        return int(channel.connection.channel().queue_declare(cap_queue("gtk"), passive=True).method.message_count)
    except pika.exceptions.ChannelClosedByBroker:
        return 0


def served(channel: Any) -> list[int]:
    """Priorities of the offers in the order in which an agent with one slot is given them."""
    channel.basic_qos(prefetch_count=1)
    order: list[int] = []
    for method, _, body in channel.consume(cap_queue("gtk"), inactivity_timeout=60):
        assert method is not None, f"only {order} came"
        offer = decode(body)
        assert isinstance(offer, Offer)
        order.append(int(offer.offer))
        channel.basic_ack(method.delivery_tag)
        if len(order) == len(PUBLISHED):
            break
    channel.cancel()
    return order


def ten_levels() -> list[int]:
    """Strictly by priority, cut to 0…10; within one by age."""
    return sorted(range(len(PUBLISHED)), key=lambda number: -max(0, min(10, PUBLISHED[number])))


def test_classic_queues_have_ten_levels(make_link: MakeLink, channel: Any) -> None:
    """The highest first, whichever master's; equal ones by age; what lies outside 0…10 is cut."""
    publish(make_link, channel)
    assert served(channel) == ten_levels()


def test_quorum_queues_have_what_their_version_has(make_link: MakeLink, channel: Any, amqp_url: str) -> None:
    """Before 4.0 nothing; then high (5 and more) and normal, two high ones for a normal one; from 4.3 on all levels."""
    publish(make_link, channel, queue_type="quorum")
    version, order = version_of(amqp_url), served(channel)
    if version < (4, 0):
        assert order == list(range(len(PUBLISHED)))
    elif version < (4, 3):
        high = [number for number, priority in enumerate(PUBLISHED) if priority >= 5]
        normal = [number for number, priority in enumerate(PUBLISHED) if priority < 5]
        assert order == merged(high, normal)
    else:
        assert order == ten_levels()


def merged(high: list[int], normal: list[int]) -> list[int]:
    """Two of the first for one of the second, as long as there are both."""
    order: list[int] = []
    while high or normal:
        order += high[:2] + normal[:1]
        high, normal = high[2:], normal[1:]
    return order


def _waiting(channel: Any, number: int) -> bool:
    return depth(channel) == number
