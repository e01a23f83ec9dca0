"""Why an agent cancels its consumers before it looks at its first offer (design, "Traps")."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.broker.topology.waiting import wait_for

pytestmark = pytest.mark.brokers

Connect = Callable[..., BlockingChannel]


def consume(channel: BlockingChannel, queue: str, seen: list[tuple[int, bytes]]) -> str:
    def deliver(_channel: object, method: object, _properties: object, body: bytes) -> None:
        seen.append((method.delivery_tag, body))  # type: ignore[attr-defined]  # pika's methods have no types

    return str(channel.basic_consume(queue, deliver))


def test_prefetch_counts_for_each_consumer_not_for_the_channel(connect: Connect) -> None:
    """An agent on two queues with prefetch=1 is handed two offers at once."""
    channel = connect()
    channel.basic_qos(prefetch_count=1)
    seen: list[tuple[int, bytes]] = []
    for queue in ("cap.a", "cap.b"):
        channel.queue_declare(queue, durable=True)
        for body in (b"first", b"second"):
            channel.basic_publish("", queue, queue.encode() + b" " + body)
    for queue in ("cap.a", "cap.b"):
        consume(channel, queue, seen)
    wait_for(lambda: len(seen) == 2, "one offer of each queue", channel=channel)
    channel.connection.process_data_events(time_limit=0.2)
    assert sorted(body for _, body in seen) == [b"cap.a first", b"cap.b first"]


def test_an_offer_given_back_after_cancel_goes_to_another_agent(connect: Connect) -> None:
    """Cancel, then nack on the same channel: the other consumer gets the offer, marked redelivered."""
    busy, idle = connect(), connect()
    busy.queue_declare("cap.a", durable=True)
    busy.basic_qos(prefetch_count=1)
    mine: list[tuple[int, bytes]] = []
    tag = consume(busy, "cap.a", mine)
    busy.basic_publish("", "cap.a", b"offer")
    wait_for(lambda: mine, "the offer", channel=busy)

    busy.basic_cancel(tag)
    busy.basic_nack(mine[0][0], requeue=True)
    seen: list[bool] = []
    idle.basic_consume("cap.a", lambda _c, method, _p, _b: seen.append(method.redelivered))
    wait_for(lambda: seen, "the offer at the other agent", channel=idle)
    busy.connection.process_data_events(time_limit=0.2)
    assert seen == [True]
    assert len(mine) == 1


def test_an_offer_given_back_without_cancel_comes_straight_back(connect: Connect) -> None:
    """Nack before cancel is a hot loop: a lone consumer is handed the same offer again and again."""
    channel = connect()
    channel.queue_declare("cap.a", durable=True)
    channel.basic_qos(prefetch_count=1)
    seen: list[int] = []

    def give_back(_channel: object, method: object, _properties: object, _body: bytes) -> None:
        seen.append(1)
        channel.basic_nack(method.delivery_tag, requeue=True)  # type: ignore[attr-defined]

    channel.basic_consume("cap.a", give_back)
    channel.basic_publish("", "cap.a", b"offer")
    wait_for(lambda: len(seen) >= 5, "the offer for the fifth time", channel=channel)


def test_an_offer_of_a_dead_agent_is_redelivered(connect: Connect) -> None:
    """A connection that ends gives its unacknowledged offer to the next agent."""
    dying, heir = connect(), connect()
    dying.queue_declare("cap.a", durable=True)
    dying.basic_publish("", "cap.a", b"offer")
    wait_for(lambda: dying.basic_get("cap.a")[0], "the offer at the first agent")
    dying.connection.close()
    method, _, body = heir.basic_get("cap.a")
    assert (body, method.redelivered) == (b"offer", True)
