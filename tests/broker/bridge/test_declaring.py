"""What the bridge declares: made anew when somebody deletes it, told apart when it is there otherwise."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pika
import pytest
import structlog
from twisted.internet import defer, threads

from contracts.messages import Catalogue, Marker
from contracts.rabbitmq import arguments
from contracts.rabbitmq.arguments import Argument, Kind
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.topology import EXCHANGES, cap_queue
from master_bridge.link.amqp import connections
from master_bridge.link.amqp.connection.channel import Calls
from tests.broker.bridge.conftest import RunningLink
from tests.broker.bridge.test_link import MakeLink, messages, offer
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.brokers

CAP = cap_queue("gtk>=3")
#: Where a message must go, and the queue that must have it; None: the link itself reads it.
ROUTES = (
    ("bb.offers", CAP, CAP),
    ("bb.parked", "", "parked"),
    ("bb.dead", "", "dead"),
    ("bb.replies", "guest.m1.claims", None),
    ("bb.replies", "guest.m1.events", None),
    ("bb.fleet", "status", None),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five looks a second."""
    monkeypatch.setattr(connections, "RESTORE_EVERY", 0.2)


def routed(url: str, exchange: str, key: str) -> bool:
    """Whether a queue takes a message; on a connection of its own, since a missing exchange closes the channel."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, b"?", mandatory=True)
    except (pika.exceptions.UnroutableError, pika.exceptions.ChannelClosedByBroker):
        return False
    finally:
        connection.close()
    return True


def all_routed(url: str) -> bool:
    """And `bb.control` is there, whose queues are the agents'."""
    if not all(routed(url, exchange, key) for exchange, key, _ in ROUTES):
        return False
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            connection.channel().exchange_declare("bb.control", passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True


def _delete_exchange(name: str, channel: Any) -> object:
    return channel.exchange_delete(name)


def _delete_queue(name: str, channel: Any) -> object:
    return channel.queue_delete(name)


def _delete_all(channel: Any) -> None:
    for exchange in EXCHANGES:
        channel.exchange_delete(exchange.name)
    for name in ("parked", "dead", "claims.m1", "events.m1", CAP):
        channel.queue_delete(name)


def _delete_all_and_the_link(channel: Any) -> None:
    """What the bridge cannot read it buries at an exchange that is gone, which costs it its link."""
    channel.exchange_delete("bb.dead")
    channel.basic_publish("bb.replies", "guest.m1.claims", b"?")
    _delete_all(channel)


DELETIONS: dict[str, Callable[[Any], object]] = {
    **{f"exchange {exchange.name}": partial(_delete_exchange, exchange.name) for exchange in EXCHANGES},
    **{f"queue {name}": partial(_delete_queue, name) for name in ("parked", "dead", "claims.m1", "events.m1", CAP)},
    "binding of an offer queue": lambda channel: channel.queue_unbind(CAP, "bb.offers", CAP),
    "binding of claims": lambda channel: channel.queue_unbind("claims.m1", "bb.replies", "*.m1.claims"),
    "binding of parked": lambda channel: channel.queue_unbind("parked", "bb.parked", ""),
    "all": _delete_all,
    "all and the link": _delete_all_and_the_link,
}


@pytest.mark.parametrize("deletion", DELETIONS)
def test_what_somebody_deletes_is_there_again(make_link: MakeLink, channel: Any, amqp_url: str, deletion: str) -> None:
    """Each exchange, queue and binding, while the bridge is connected; what is published goes its way as before.

    A message that is to be buried meanwhile costs it the link: then it asks for its columns' queues, as at each link.
    """
    running = make_link()
    running.call("ensure_queues", ["gtk>=3"])
    running.client.at_link_up = partial(running.link.ensure_queues, ["gtk>=3"])
    wait_for(lambda: all_routed(amqp_url), 60, "all is declared")
    DELETIONS[deletion](channel)
    wait_for(lambda: all_routed(amqp_url), 60, f"{deletion} is there again")
    numbers = itertools.count(1)

    def answered() -> bool:
        running.call("send_marker", Marker(incarnation="i", k=next(numbers)))
        return any(isinstance(event[2], Marker) for event in running.client.named("message"))

    wait_for(answered, 60, "the bridge reads its claims", every=0.5)


#: A call of the bridge, and what somebody deletes just before it.
MOMENTS: dict[str, tuple[str, dict[str, str], str]] = {
    "a column's exchange before its binding": ("queue_bind", {"queue": CAP}, "exchange bb.offers"),
    "a column's queue before its binding": ("queue_bind", {"queue": CAP}, f"queue {CAP}"),
    "the fleet's exchange before its binding": ("queue_bind", {"exchange": "bb.fleet"}, "exchange bb.fleet"),
    "claims before they are consumed": ("basic_consume", {"queue": "claims.m1"}, "queue claims.m1"),
    "all before events are consumed": ("basic_consume", {"queue": "events.m1"}, "all"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_deleted_while_it_is_declared_again(
    make_link: MakeLink, channel: Any, amqp_url: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The bridge has noticed one deletion, makes all anew, and there is another: it makes that anew, and stays up."""
    monkeypatch.setattr(connections, "RESTORE_EVERY", 3600.0)  # no look by itself between the two
    method, which, deletion = MOMENTS[moment]
    running = make_link()
    running.call("ensure_queues", ["gtk>=3"])
    wait_for(lambda: all_routed(amqp_url), 60, "all is declared")
    call, deleted = Calls.call, threading.Event()

    def delete() -> None:
        with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
            DELETIONS[deletion](connection.channel())

    def called(self: Calls, name: str, /, **arguments: Any) -> defer.Deferred[Any]:
        if deleted.is_set() or name != method or not which.items() <= arguments.items():
            return call(self, name, **arguments)
        deleted.set()
        return threads.deferToThread(delete).addCallback(lambda _: call(self, name, **arguments))

    monkeypatch.setattr(Calls, "call", called)
    channel.queue_delete("events.m1" if "events.m1" in which.values() else "claims.m1")
    wait_for(deleted.is_set, 60, "the other deletion")
    wait_for(lambda: all_routed(amqp_url), 60, "all is there again")
    for queue in ("claims.m1", "events.m1"):
        wait_for(lambda queue=queue: _consumers(amqp_url, queue) == 1, 60, f"{queue} is consumed")  # type: ignore[misc]
    assert not running.client.named("down")


def test_agents_are_told_of_a_queue_that_a_broken_consumer_let_make_anew(
    make_link: MakeLink, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bridge finds missing when its claims are deleted is told as what it finds when it looks by itself."""
    monkeypatch.setattr(connections, "RESTORE_EVERY", 3600.0)
    running = make_link()
    heard = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(heard, "bb.fleet", "catalogue")
    running.call("publish_catalogue", Catalogue(master="m1", incarnation="i1", signatures=("gtk>=3",)))
    wait_for(lambda: messages(channel, heard), 60, "the first catalogue")
    channel.queue_delete(CAP)
    channel.queue_delete("claims.m1")
    wait_for(lambda: any(message.made for message, _ in messages(channel, heard)), 60, "the catalogue of after")
    channel.queue_declare(CAP, passive=True)


def test_agents_are_told_of_a_queue_that_was_made_anew(make_link: MakeLink, channel: Any) -> None:
    """The catalogue says when: whoever missed the queue looks for it at once."""
    running = make_link()
    heard = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(heard, "bb.fleet", "catalogue")
    running.call("publish_catalogue", Catalogue(master="m1", incarnation="i1", signatures=("gtk>=3",)))
    found: list[Catalogue] = []

    def told(made: bool) -> bool:
        found.extend(message for message, _ in messages(channel, heard))
        return any(bool(catalogue.made) is made for catalogue in found)

    wait_for(lambda: told(False), 60, "the first catalogue")
    channel.queue_delete(CAP)
    wait_for(lambda: told(True), 60, "the catalogue of after")
    channel.queue_declare(CAP, passive=True)


def test_an_exchange_of_another_type_is_told_as_such(make_link: MakeLink, channel: Any) -> None:
    """Nothing would reach anybody there: the link is not up, says why, and comes up when it is deleted."""
    channel.exchange_declare("bb.control", "direct", durable=True)
    running = make_link(up=False)
    reason = wait_for(
        lambda: text if "bb.control" in (text := str(running.link.down_reason)) else None, 60, "the reason"
    )
    assert "exchange bb.control exists with another type: we ask for topic, it has direct" in reason
    assert "used as it is" not in reason
    channel.exchange_delete("bb.control")
    running.wait("up")


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("claims.m1", {"arguments": {"x-queue-type": "quorum"}}, "another "),
        ("parked", {"arguments": {"x-queue-type": "classic"}}, "another x-"),
        ("dead", {"arguments": {"x-queue-type": "classic", "x-max-length": 7}}, "x-max-length: we ask for 10000, it"),
        (
            CAP,
            {"arguments": {"x-queue-type": "quorum", "x-dead-letter-exchange": "bb.parked"}},
            "another ",
        ),
    ],
)
def test_a_queue_that_is_there_otherwise_is_used_and_told(
    make_link: MakeLink,
    channel: Any,
    amqp_url: str,
    node: RabbitMQNode,
    name: str,
    settings: dict[str, Any],
    told: str,
) -> None:
    """Once, with what differs and the remedy; afterwards nothing fails at the broker, however long it stays so."""
    channel.queue_declare(name, durable=True, **settings)
    with structlog.testing.capture_logs() as lines:
        running = make_link()
        running.call("ensure_queues", ["gtk>=3"])
        wait_for(lambda: all_routed(amqp_url), 60, "all is declared")
        vhost = amqp_url.rpartition("/")[2]
        failed = wait_for(lambda: channel_errors(node, vhost), 60, "the one refusal is written down")
        looks = itertools.count()
        wait_for(lambda: next(looks) > 8, 60, "some looks", every=0.2)
        assert channel_errors(node, vhost) == failed
    (line,) = [line for line in lines if line["event"] == "amqp.queue_differs"]
    assert line["queue"] == name
    assert told in line["detail"]
    assert "master-bridge migrate" in line["detail"]
    assert running.link.up


def channel_errors(node: RabbitMQNode, vhost: str) -> int:
    """Failed operations on this vhost, as the broker has written them down."""
    lines = node.log_tail(1_000_000).splitlines()
    return sum("Channel error on connection" in line and f"vhost: '{vhost}'" in line for line in lines)


def test_a_queue_that_cannot_be_used_stops_no_other(make_link: MakeLink, channel: Any, node: RabbitMQNode) -> None:
    """A stream in the place of a column's queue: other columns work, its offers wait until it is deleted."""
    try:
        channel.queue_declare(CAP, durable=True, arguments={"x-queue-type": "stream"})
    except pika.exceptions.AMQPError:
        # 3.10.8 on one node cannot make one; another program's own queue cannot be used either
        other = pika.BlockingConnection(channel.connection._impl.params)
        channel = other.channel()
        channel.queue_declare(CAP, exclusive=True)
    with structlog.testing.capture_logs() as lines:
        running = make_link()
        running.call("publish_offer", offer(1))
        running.call("publish_offer", offer(2, "wx"))
        wait_for(lambda: _ready(running, cap_queue("wx")) == 1, 60, "the other column's offer waits")
        wait_for(lambda: any(line["event"] == "amqp.queue_unusable" for line in lines), 60, "it is said")
        channel.queue_delete(CAP)
        running.call("publish_catalogue", Catalogue(master="m1", incarnation="i", signatures=("gtk>=3", "wx")))

        def arrived() -> bool:
            running.call("ensure_queues", ["gtk>=3", "wx"])
            return _ready(running, CAP) == 1

        wait_for(arrived, 60, "the offer that waited", every=0.5)
    assert running.link.up
    assert not running.client.named("down")


@pytest.mark.parametrize("kind", [Kind.PARKED, Kind.OFFERS])
def test_what_a_broker_does_not_take_is_no_mismatch(
    make_link: MakeLink, channel: Any, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """The other meaning of 406: the queue is not there, and the reason says which argument it is."""
    refused = Argument(name="x-max-length", value=-1, kinds=frozenset({kind}))
    monkeypatch.setattr(arguments, "TABLE", (*arguments.TABLE, refused))
    with structlog.testing.capture_logs() as lines:
        running = make_link(up=kind is Kind.OFFERS)
        if kind is Kind.PARKED:
            reason = wait_for(
                lambda: text if "x-max-length" in (text := str(running.link.down_reason)) else None, 60, "the reason"
            )
        else:
            running.call("publish_offer", offer(1))
            wait_for(lambda: any(line["event"] == "amqp.queue_unusable" for line in lines), 60, "it is said")
            reason = next(line["reason"] for line in lines if line["event"] == "amqp.queue_unusable")
            assert running.link.up
    assert "does not take x-max-length for queue" in reason
    assert "was not made" in reason
    assert "exists" not in reason
    monkeypatch.setattr(arguments, "TABLE", tuple(replace(row) for row in arguments.TABLE if row is not refused))
    if kind is Kind.PARKED:
        running.wait("up")


def _consumers(url: str, queue: str) -> int:
    """0 where there is no such queue."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.consumer_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0


def _ready(running: RunningLink, queue: str) -> int:
    """Messages that wait; asked on a connection of its own."""
    with pika.BlockingConnection(pika.URLParameters(running.link._settings.url)) as connection:
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0
