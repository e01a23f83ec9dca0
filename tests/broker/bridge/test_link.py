"""The bridge's link on a real broker: declarations, confirms, returns, ghosts, restarts, alarms, sweeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pika
import pytest
from twisted.internet import defer, threads

from contracts.codec import decode, encode
from contracts.messages import Alive, Catalogue, Event, Marker, Offer, Ping
from contracts.testing.rabbitmq.node import USER, RabbitMQNode
from contracts.topology import cap_queue, events_key
from master_bridge.link.amqp import connections
from tests.broker.bridge.conftest import RunningLink
from tests.faults.laboratory.proxy import Proxy
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.brokers

MakeLink = Callable[..., RunningLink]


def offer(number: int = 1, signature: str = "gtk>=3") -> Offer:
    return Offer(
        offer=f"o{number}",
        request=f"br-{number}",
        master="m1",
        user=USER,
        ticket="t",
        run=number,
        signature=signature,
        kind="build",
        published=time.time(),
        builddir="b",
    )


def messages(channel: Any, queue: str) -> list[Any]:
    """Takes all ready messages out of `queue`: (message or raw body, headers)."""
    found: list[Any] = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        headers = properties.headers or {}
        try:
            found.append((decode(body, headers), headers))
        except Exception:
            found.append((body, headers))


def test_up_means_consumed_and_declared(make_link: MakeLink, channel: Any) -> None:
    """When the link is up its queues exist, the claims queue has our consumer, and the broker's name is known."""
    running = make_link()
    assert running.link.product == "RabbitMQ 3.10.8" or running.link.product.startswith("RabbitMQ ")
    assert channel.queue_declare("claims.m1", passive=True).method.consumer_count == 1
    for queue in ("events.m1", "parked", "dead"):
        channel.queue_declare(queue, passive=True)


def test_whoever_hears_a_catalogue_finds_its_queues(make_link: MakeLink, channel: Any) -> None:
    """The declarations go out on another connection than the catalogue: it waits for them, however many they are."""
    running = make_link()
    heard = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(heard, "bb.fleet", "catalogue")
    signatures = tuple(f"tool{letter}{number}>=1" for letter in "abcdef" for number in range(10))
    running.call("publish_catalogue", Catalogue(master="m1", incarnation="i1", signatures=signatures))
    wait_for(lambda: messages(channel, heard), 60, "the catalogue")
    for signature in reversed(signatures):
        channel.queue_declare(cap_queue(signature), passive=True)


def test_offers_reach_their_queue(make_link: MakeLink, channel: Any) -> None:
    """An offer's queue is made on first use; offers are persistent and ordered by priority."""
    running = make_link()
    running.call("publish_offer", offer(1), 0)
    running.call("publish_offer", offer(2), 7)
    queue = cap_queue("gtk>=3")
    wait_for(lambda: _ready(channel, queue) == 2, 60, "two offers wait")
    assert [message.offer for message, _ in messages(channel, queue)] == ["o2", "o1"]


def test_every_return_is_told(make_link: MakeLink) -> None:
    """Fifty mandatory messages in a row to agents that are not there: each comes back as what it was."""
    running = make_link()
    pings = [Ping(session=f"s{n}", incarnation="i", stored=n) for n in range(50)]
    for n, ping in enumerate(pings):
        running.call("send", ping, f"agent.guest.i.n{n}")
    running.wait("returned", 50)
    assert [event[1:] for event in running.client.named("returned")] == [
        (ping, f"agent.guest.i.n{n}") for n, ping in enumerate(pings)
    ]


def test_marker_comes_back_and_names_its_publisher(make_link: MakeLink) -> None:
    """What we send ourselves arrives at the claims queue under our broker user."""
    running = make_link()
    running.call("send_marker", Marker(incarnation="i", k=3))
    _, delivery, message, user = running.wait("message")
    assert (message, user) == (Marker(incarnation="i", k=3), "guest")
    running.call("ack", delivery)


def test_bulk_data_arrives_as_it_was(make_link: MakeLink, channel: Any) -> None:
    """An event's bytes are the message's body; unacknowledged ones come again after a reconnect, acknowledged not."""
    running = make_link()
    for seq in (1, 2):
        wire = encode(Event(session="s", seq=seq, n=1, kind="stdout", data=b"\x00\xff" * seq))
        properties = pika.BasicProperties(headers=dict(wire.headers), type=wire.type, user_id=USER)
        channel.basic_publish("bb.replies", events_key("guest", "m1"), wire.body, properties)
    running.wait("message", 2)
    first, second = running.client.named("message")
    assert [first[2].data, second[2].data] == [b"\x00\xff", b"\x00\xff\x00\xff"]
    running.call("ack", first[1])
    running.call("stop")
    other = make_link()
    _, _, again, _ = other.wait("message")
    assert again == second[2]


@pytest.mark.parametrize(
    ("body", "reason"), [(b"no json", "not JSON"), (b'{"t":"claim","v":99}', "version"), (b'{"t":"claim"}', "session")]
)
def test_what_cannot_be_read_goes_to_the_dead(make_link: MakeLink, channel: Any, body: bytes, reason: str) -> None:
    """A malformed message is kept in `dead` with the reason, and stops nothing."""
    running = make_link()
    channel.basic_publish("bb.replies", f"{USER}.m1.claims", body, pika.BasicProperties(user_id=USER))
    wait_for(lambda: _ready(channel, "dead") == 1, 60, "a dead letter")
    assert len(running.client.named("buried")) == 1, "counted"
    ((kept, headers),) = messages(channel, "dead")
    assert kept == body
    assert reason in headers["bb-reason"]
    assert headers["bb-queue"] == "claims.m1"
    running.call("send_marker", Marker(incarnation="i", k=1))
    running.wait("message")


def test_second_bridge_of_a_name_waits_for_the_ghost(make_link: MakeLink) -> None:
    """While a former connection has the claims queue the link is not up; it comes up when that one is gone."""
    first = make_link()
    second = make_link(up=False)
    time_to_try = time.monotonic() + 2.5
    wait_for(lambda: time.monotonic() > time_to_try, 5, "two tries")
    assert second.client.events == []
    first.call("stop")
    second.wait("up")


def test_another_master_of_our_name_stops_the_link(make_link: MakeLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused for too long: the link stops and says that another master of this name runs."""
    monkeypatch.setattr(connections, "DUPLICATE_MASTER_AFTER", 1.0)
    make_link()
    second = make_link(up=False, heartbeat=1)  # it waits for three of them
    _, reason = second.wait("stopped")
    assert "another master named 'm1'" in reason
    assert "claims.m1" in reason


def test_a_queue_that_differs_is_used_as_it_is(make_link: MakeLink, channel: Any) -> None:
    """A queue that exists with other arguments does not stop the builds; offers reach it."""
    queue = cap_queue("gtk>=3")
    channel.queue_declare(queue, durable=True)
    running = make_link()
    running.call("publish_offer", offer())
    wait_for(lambda: _ready(channel, queue) == 1, 60, "the offer waits")
    assert running.client.named("down") == []


def test_a_deleted_queue_is_made_again(make_link: MakeLink, channel: Any) -> None:
    """Somebody deleted the queue between two offers: the second one makes it anew and is not lost."""
    running = make_link()
    queue = cap_queue("gtk>=3")
    running.call("publish_offer", offer(1))
    wait_for(lambda: _ready(channel, queue) == 1, 60, "the first offer waits")
    channel.queue_delete(queue)
    running.call("publish_offer", offer(2))
    wait_for(lambda: _exists(channel, queue), 60, "the queue is back")
    wait_for(lambda: _ready(channel, queue) == 1, 60, "the second offer waits")


def test_sweep_takes_only_what_is_stale(make_link: MakeLink, channel: Any) -> None:
    """Stale offers leave the queue; the others stay."""
    running = make_link()
    for number in range(6):
        running.call("publish_offer", offer(number))
    queue = cap_queue("gtk>=3")
    wait_for(lambda: _ready(channel, queue) == 6, 60, "six offers wait")
    assert running.call("sweep", "gtk>=3", lambda item: item.run % 2 == 0) == 3
    wait_for(lambda: _ready(channel, queue) == 3, 60, "three offers are left")
    assert sorted(message.run for message, _ in messages(channel, queue)) == [1, 3, 5]


def test_queues_are_swept_one_after_the_other(
    make_link: MakeLink, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a start all of them are; each sweep takes a channel, of which a connection has 2047."""
    running, queue = make_link(), cap_queue("gtk>=3")
    opened: list[int] = []
    opening = connections.Connections.open_channel

    def open_channel(self: connections.Connections) -> Any:
        opened.append(1)
        return opening(self)

    monkeypatch.setattr(connections.Connections, "open_channel", open_channel)

    def sweep_all() -> Any:
        sweeps = [running.link.sweep("gtk>=3", lambda _: True) for _ in range(20)]
        assert len(opened) == 1
        return defer.gatherResults(sweeps)

    running.call("publish_offer", offer(1))
    wait_for(lambda: _exists(channel, queue) and _ready(channel, queue) == 1, 60, "the offer waits")
    taken = threads.blockingCallFromThread(running.reactor, sweep_all)
    assert len(opened) == 20
    assert sum(taken) == 1


def test_what_the_fleet_says_as_soon_as_the_link_is_up_is_heard(
    make_link: MakeLink, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks for an answer just then waits for no agent's next turn."""
    usual = connections.Connections.consume_events
    said = Catalogue(master="m2", incarnation="i2", signatures=("gtk>=3",))

    def say() -> None:
        with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
            properties = pika.BasicProperties(user_id=USER)
            connection.channel().basic_publish("bb.fleet", "catalogue", encode(said).body, properties)

    def after_link_up(self: connections.Connections, on_message: Any) -> Any:
        """The first thing that the link does when it is up."""
        return threads.deferToThread(say).addCallback(lambda _: usual(self, on_message))

    monkeypatch.setattr(connections.Connections, "consume_events", after_link_up)
    running = make_link()
    wait_for(lambda: ("fleet", said) in running.client.events, 60, lambda: f"heard: {running.client.events}")


@pytest.mark.long  # with `make test` a broker restarts under an agent, and a bridge's link is cut (test_lost_tls.py)
def test_broker_restart(twisted: Any, make_link: MakeLink, own_node: RabbitMQNode) -> None:
    """The broker is killed and comes back: the link goes down, and up again by itself, with its queues."""
    running = make_link(url=own_node.url, heartbeat=2)
    own_node.kill()
    running.wait("down")
    running.call("publish_offer", offer())  # void: nothing waits for the broker
    own_node.start()
    running.wait("up", 2, timeout=60)
    running.call("send_marker", Marker(incarnation="i", k=2))
    running.wait("message")


def test_link_before_broker(proxy: Proxy, amqp_url: str, make_link: MakeLink) -> None:
    """A link that is started while the broker is down says why, and comes up when the broker does."""
    proxy.cut()
    running = make_link(url=proxy.url(amqp_url), up=False)
    wait_for(lambda: running.link.down_reason not in (None, "not started"), 60, "a reason")
    proxy.heal()
    running.wait("up", timeout=60)
    assert running.link.down_reason is None


@pytest.mark.long
def test_alarm_blocks_publishing_only(make_link: MakeLink, own_node: RabbitMQNode) -> None:
    """A resource alarm at the broker: the link says blocked, stays up, and says unblocked afterwards."""
    running = make_link(url=own_node.url)
    own_node.ctl("set_vm_memory_high_watermark", "0.00001")
    running.call("broadcast", Alive(master="m1", incarnation="i"))
    assert running.wait("blocked") == ("blocked", True)
    own_node.ctl("set_vm_memory_high_watermark", "0.6")
    assert running.wait("blocked", 2) == ("blocked", False)
    assert running.client.named("down") == []


def test_wrong_password_is_said_without_it(make_link: MakeLink, amqp_url: str) -> None:
    """A refused login is tried again and named; the password is in no message."""
    wrong = amqp_url.replace("guest:", "guest:sesame")
    running = make_link(url=wrong, up=False)
    wait_for(lambda: running.link.down_reason not in (None, "not started"), 60, "a reason")
    assert "sesame" not in str(running.link.down_reason)


def _ready(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count) if _exists(channel, queue) else 0


def _exists(channel: Any, queue: str) -> bool:
    """On a channel of its own: a passive declaration of what is not there closes it."""
    probe = channel.connection.channel()
    try:
        probe.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    probe.close()
    return True
