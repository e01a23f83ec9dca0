"""What agents and masters of another version tell the whole fleet, every few seconds for as long as they live."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pika

from contracts import topology
from contracts.foreign import BROADCASTS_KEPT
from contracts.testing.rabbitmq.node import USER
from tests.broker.bridge.conftest import RunningLink
from tests.harness.waiting import wait_for

SENT = BROADCASTS_KEPT + 4


def test_a_few_of_each_peers_broadcasts_are_kept_and_all_are_counted(
    make_link: Callable[..., RunningLink], channel: Any
) -> None:
    """An agent of version 99 is in `dead` with the reason, and cannot fill it; other agents are heard as ever."""
    running = make_link()
    for agent in SENT * ("a", "b"):
        body = json.dumps({"t": "status", "v": 99, "agent": agent}).encode()
        channel.basic_publish(topology.FLEET, topology.STATUS_KEY, body, pika.BasicProperties(user_id=USER))
    wait_for(lambda: running.link.foreign.heard == 2 * SENT, 60, lambda: f"heard: {running.link.foreign.heard}")

    def dead() -> int:
        return int(channel.queue_declare(topology.DEAD_QUEUE, passive=True).method.message_count)

    wait_for(lambda: dead() == 2 * BROADCASTS_KEPT, 60, lambda: f"in dead: {dead()}")
    assert len(running.client.named("buried")) == 2 * BROADCASTS_KEPT, "counted"
    _, properties, body = channel.basic_get(topology.DEAD_QUEUE, auto_ack=True)
    assert json.loads(body)["agent"] == "a"
    assert "protocol version 99; this program speaks" in properties.headers[topology.DEAD_REASON_HEADER]
