"""`master-bridge migrate`: queues get this version's arguments, and every message is still there."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pika
from click.testing import Result

from contracts import topology

MasterBridge = Callable[..., Awaitable[Result]]


def declare_old(channel: Any) -> None:
    """As some earlier version might have: without priorities, and with another byte limit."""
    for known in topology.EXCHANGES:
        channel.exchange_declare(known.name, known.type.value, durable=True)
    for name, exchange, key in (
        ("cap.gtk", topology.OFFERS, "cap.gtk"),
        ("events.m1", topology.REPLIES, topology.events_binding("m1")),
    ):
        channel.queue_declare(name, durable=True, arguments={"x-max-length-bytes": 10**9})
        channel.queue_bind(name, exchange, key)


async def test_no_message_is_lost_and_new_ones_arrive(amqp_url: str, master_bridge: MasterBridge) -> None:
    """300 messages stay, with headers and priorities; a queue in use is left alone; twice is harmless."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    declare_old(channel)
    for number in range(300):
        properties = pika.BasicProperties(headers={"n": number}, delivery_mode=2, priority=number % 3)
        channel.basic_publish(topology.OFFERS, "cap.gtk", str(number).encode(), properties, mandatory=True)
    for number in range(50):
        channel.basic_publish(topology.REPLIES, "u.m1.events", str(number).encode(), mandatory=True)
    channel.basic_consume("events.m1", lambda *_: None)
    said = await master_bridge("migrate", "--dry-run")
    assert "cap.gtk exists with another" in said.output
    result = await master_bridge("migrate")
    assert result.exit_code == 1
    assert "cap.gtk: made anew with 300 messages" in result.output
    assert "events.m1 is in use" in result.output
    connection.close()

    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    for _ in range(20):  # the management API's figures are up to 5 s old
        result = await master_bridge("migrate")
        if result.exit_code == 0:
            break
        connection.sleep(1)
    assert "events.m1: made anew with 50 messages" in result.output
    assert (await master_bridge("migrate")).output == ""
    channel.basic_publish(topology.OFFERS, "cap.gtk", b"new", mandatory=True)
    channel.basic_publish(topology.REPLIES, "u.m1.events", b"new", mandatory=True)
    got: list[tuple[int, bytes]] = []
    while (letter := channel.basic_get("cap.gtk", auto_ack=True))[0] is not None:
        got.append((letter[1].priority or 0, letter[2]))
    assert sorted(body for _, body in got) == sorted([*(str(n).encode() for n in range(300)), b"new"])
    assert [priority for priority, _ in got] == sorted((priority for priority, _ in got), reverse=True)
    assert channel.queue_declare("events.m1", passive=True).method.message_count == 51
    assert json.loads((await master_bridge("queues", "--json")).output)
    connection.close()
