"""What the broker refuses is published again, on another channel: a no may be the old channel's trouble."""

from __future__ import annotations

from typing import Any

from contracts.messages import Marker
from contracts.topology import cap_queue
from tests.broker.bridge.conftest import RunningLink
from tests.broker.bridge.test_link import MakeLink, messages, offer
from tests.harness.waiting import wait_for


def publisher(running: RunningLink) -> Any:
    connections = running.link._connections
    assert connections is not None
    return connections.publisher


def test_an_offer_that_was_refused_arrives_on_another_channel(make_link: MakeLink, channel: Any) -> None:
    """It is tried again until there is room; the link stays up, and the old channel is closed."""
    queue = cap_queue("gtk>=3")
    channel.queue_declare(queue, durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    running = make_link()
    before = publisher(running)
    for number in (1, 2):
        running.call("publish_offer", offer(number))
    wait_for(lambda: publisher(running) is not before, 60, "another channel")
    wait_for(lambda: not before.is_open, 60, "the old channel is closed")
    taken: list[str] = []

    def all_there() -> bool:
        taken.extend(message.offer for message, _ in messages(channel, queue))
        return taken == ["o1", "o2"]

    wait_for(all_there, 60, lambda: f"both offers: {taken}")
    assert not running.client.named("down")
    running.call("send_marker", Marker(incarnation="i", k=1))
    assert running.wait("message")[2] == Marker(incarnation="i", k=1)
