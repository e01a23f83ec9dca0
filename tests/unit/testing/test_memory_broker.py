"""The broker in memory does what RabbitMQ does, in the points that the protocol leans on."""

from __future__ import annotations

import random
from typing import Any

import pytest

from contracts.testing.clock import VirtualClock
from contracts.testing.memory_broker.broker import MemoryBroker, topic_matches
from contracts.testing.memory_broker.channels import Channel, Delivery
from contracts.testing.memory_broker.connections import Connection
from contracts.testing.memory_broker.queues import Publication, QueueOptions
from tests.generated import seeds


class Setting:
    """A broker with a direct exchange `x`, a topic exchange `t`, a fanout `dlx`, and a client that notes all."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock, **options)
        self.broker.declare_exchange("x", "direct")
        self.broker.declare_exchange("t", "topic")
        self.broker.declare_exchange("dlx", "fanout")
        self.publisher = self.broker.connect("publisher")
        self.out = self.publisher.channel()
        self.confirms: list[tuple[int, bool]] = []
        self.returns: list[int] = []
        self.out.on_confirm = lambda tag, ok: self.confirms.append((tag, ok))
        self.out.on_return = lambda tag, _: self.returns.append(tag)

    def queue(self, name: str, **options: Any) -> None:
        self.out.declare(name, QueueOptions(**options))
        self.out.bind(name, "x", name)
        self.run()

    def publish(self, key: str, body: str, **properties: Any) -> None:
        message = Publication(exchange="x", routing_key=key, body=body, size=len(body), **properties)
        self.out.publish(message, mandatory=True)

    def run(self, seconds: float = 1.0) -> None:
        self.clock.run_until(self.clock.now + seconds)


class Client:
    """A connection whose consumers note what they get."""

    def __init__(self, setting: Setting, heartbeat: float = 10.0) -> None:
        self.connection: Connection = setting.broker.connect("client", heartbeat=heartbeat)
        self.channel: Channel = self.connection.channel()
        self.got: list[Delivery] = []
        self.errors: list[str] = []
        self.cancelled: list[str] = []
        self.lost: list[str] = []
        self.channel.on_close = self.errors.append
        self.connection.on_close = self.lost.append

    def consume(self, queue: str, prefetch: int = 0, exclusive: bool = False) -> None:
        self.channel.consume(
            queue, queue, self.got.append, prefetch=prefetch, exclusive=exclusive, on_cancel=self.cancelled.append
        )

    @property
    def bodies(self) -> list[Any]:
        return [delivery.publication.body for delivery in self.got]


def test_prefetch_counts_per_consumer_not_per_channel() -> None:
    """A channel with two consumers of prefetch 1 is handed two messages."""
    setting = Setting()
    for name in ("q1", "q2"):
        setting.queue(name)
        setting.publish(name, "a")
        setting.publish(name, "b")
    client = Client(setting)
    client.consume("q1", prefetch=1)
    client.consume("q2", prefetch=1)
    setting.run()
    assert sorted(client.bodies) == ["a", "a"]
    client.channel.ack(client.got[0].tag)
    setting.run()
    assert len(client.got) == 3


def test_consumers_of_a_channel_may_share_a_prefetch() -> None:
    """One message in all, of whichever queue; the next when that is settled, also if its consumer was cancelled."""
    setting = Setting()
    for name in ("q1", "q2"):
        setting.queue(name)
        setting.publish(name, name)
    client = Client(setting)
    client.channel.share_prefetch(1)
    client.consume("q1")
    client.consume("q2")
    setting.run()
    assert client.bodies == ["q1"]
    client.channel.cancel("q1")
    setting.publish("q1", "again")
    setting.run()
    assert client.bodies == ["q1"]
    client.channel.ack(client.got[0].tag)
    setting.run()
    assert client.bodies == ["q1", "q2"]


def test_a_closed_connection_gives_its_messages_back_to_their_place_and_marked() -> None:
    """The next consumer gets them before younger ones, `redelivered`."""
    setting = Setting()
    setting.queue("q")
    for body in "abc":
        setting.publish("q", body)
    first = Client(setting)
    first.consume("q", prefetch=2)
    setting.run()
    assert first.bodies == ["a", "b"]
    first.connection.close()
    setting.run()
    second = Client(setting)
    second.consume("q")
    setting.run()
    assert [(d.publication.body, d.redelivered) for d in second.got] == [("a", True), ("b", True), ("c", False)]


def test_what_was_delivered_before_a_cancel_stays_unacknowledged() -> None:
    """`basic.cancel` stops new deliveries only; a nack with requeue then goes to somebody else."""
    setting = Setting()
    setting.queue("q")
    setting.publish("q", "a")
    first, second = Client(setting), Client(setting)
    first.consume("q", prefetch=1)
    setting.run()
    first.channel.cancel("q")
    second.consume("q")
    setting.run()
    assert second.bodies == []
    first.channel.nack(first.got[0].tag, requeue=True)
    setting.run()
    assert first.bodies == ["a"]
    assert [(d.publication.body, d.redelivered) for d in second.got] == [("a", True)]


def test_a_rejected_message_waits_in_the_dead_letter_queue_and_comes_back() -> None:
    """Rejected into a queue with a time to live that dead-letters back: the offers' parking place, with x-death."""
    setting = Setting()
    setting.queue("q", dead_letter_exchange="dlx")
    setting.out.declare("parked", QueueOptions(message_ttl=10.0, dead_letter_exchange="x"))
    setting.out.bind("parked", "dlx")
    setting.publish("q", "a")
    client = Client(setting)
    client.consume("q", prefetch=1)
    setting.run()
    client.channel.nack(client.got[0].tag, requeue=False)
    setting.run(8.0)
    assert len(client.got) == 1
    assert len(setting.broker.queues["parked"]) == 1
    setting.run(3.0)
    assert len(client.got) == 2
    assert not client.got[1].redelivered
    assert client.got[1].deaths == 2
    reasons = [(death["queue"], death["reason"]) for death in client.got[1].publication.headers["x-death"]]
    assert reasons == [("parked", "expired"), ("q", "rejected")]


def test_an_expired_message_is_dropped_at_the_head_of_its_queue() -> None:
    """Per-message expiration, without a dead-letter exchange."""
    setting = Setting()
    setting.queue("q")
    setting.publish("q", "short", expiration=2.0)
    setting.publish("q", "long")
    setting.run(3.0)
    client = Client(setting)
    client.consume("q")
    setting.run()
    assert client.bodies == ["long"]


def test_higher_priorities_overtake() -> None:
    """Where the queue has priorities; equal ones keep their order."""
    setting = Setting()
    setting.queue("q", max_priority=10)
    for body, priority in (("low", 0), ("high", 5), ("low2", 0)):
        setting.publish("q", body, priority=priority)
    setting.run()
    client = Client(setting)
    client.consume("q")
    setting.run()
    assert client.bodies == ["high", "low", "low2"]


def test_publications_are_confirmed_and_unroutable_ones_returned_first() -> None:
    """A mandatory message that no queue takes comes back, and is confirmed all the same."""
    setting = Setting()
    setting.queue("q")
    setting.publish("q", "a")
    setting.publish("nowhere", "b")
    setting.run()
    assert sorted(setting.confirms) == [(1, True), (2, True)]
    assert setting.returns == [2]


def test_a_full_queue_rejects_publishes() -> None:
    """`overflow=reject-publish`: a nack, and the queue keeps what it has."""
    setting = Setting()
    setting.queue("q", max_length_bytes=5, overflow="reject-publish")
    setting.publish("q", "four")
    setting.publish("q", "more")
    setting.run()
    assert sorted(setting.confirms) == [(1, True), (2, False)]
    assert [message.body for message in setting.broker.queues["q"].messages()] == ["four"]


def test_an_exclusive_consumer_keeps_others_out_until_its_connection_is_gone() -> None:
    """The ghost of a connection that went without a word keeps it until the broker misses its heartbeats."""
    setting = Setting()
    setting.queue("q")
    ghost = Client(setting, heartbeat=10.0)
    ghost.consume("q", exclusive=True)
    setting.run()
    ghost.connection.vanish()
    second = Client(setting)
    second.consume("q", exclusive=True)
    setting.run()
    assert second.errors == ["403 ACCESS_REFUSED - queue 'q' in exclusive use"]
    setting.run(20.0)
    third = Client(setting)
    third.consume("q", exclusive=True)
    setting.run()
    assert third.errors == []


def test_an_exclusive_queue_goes_with_its_connection() -> None:
    """What is published to it afterwards is returned."""
    setting = Setting()
    client = Client(setting)
    client.channel.declare("mine", QueueOptions(durable=False, exclusive=True))
    client.channel.bind("mine", "x", "mine")
    setting.run()
    setting.publish("mine", "a")
    setting.run()
    assert setting.returns == []
    client.connection.close()
    setting.run()
    setting.publish("mine", "b")
    setting.run()
    assert setting.returns == [2]


@pytest.mark.parametrize("lose_flags", [False, True])
def test_a_killed_node_keeps_confirmed_messages_and_may_lose_their_flags(lose_flags: bool) -> None:
    """Confirmed persistent messages of durable queues survive; transient queues and connections do not."""
    setting = Setting()
    setting.queue("q")
    setting.queue("transient", durable=False)
    setting.publish("q", "a")
    setting.publish("q", "b")
    client = Client(setting)
    client.consume("q", prefetch=1)
    setting.run()
    setting.broker.kill(lose_flags=lose_flags)
    setting.run()
    assert client.lost == ["connection reset by peer"]
    with pytest.raises(ConnectionRefusedError):
        setting.broker.connect()
    setting.broker.start()
    assert "transient" not in setting.broker.queues
    again = Client(setting)
    again.consume("q")
    setting.run()
    assert [(d.publication.body, d.redelivered) for d in again.got] == [("a", not lose_flags), ("b", False)]


def test_a_killed_node_forgets_the_acknowledgements_of_the_last_moment() -> None:
    """Acknowledgements are not confirmed: some that were just made are undone, old ones never."""
    setting = Setting(ack_flush=0.5)
    setting.queue("q")
    for number in range(41):
        setting.publish("q", str(number))
    client = Client(setting)
    client.consume("q")
    setting.run()
    client.channel.ack(client.got[0].tag)
    setting.run()
    for delivery in client.got[1:]:
        client.channel.ack(delivery.tag)
    setting.run(0.1)
    setting.broker.kill()
    setting.broker.start()
    back = [message.body for message in setting.broker.queues["q"].messages()]
    assert 0 < len(back) < 40
    assert "0" not in back


def test_a_consumer_timeout_closes_the_channel_and_gives_back() -> None:
    """Up to 4.2: 406, and everything that the channel held is redelivered."""
    setting = Setting()
    setting.queue("q")
    setting.publish("q", "a")
    client = Client(setting)
    client.consume("q")
    setting.run()
    assert setting.broker.time_out_consumers(older_than=5.0) == 0
    setting.run(5.0)
    assert setting.broker.time_out_consumers(older_than=5.0) == 1
    setting.run()
    assert client.errors == ["406 PRECONDITION_FAILED - delivery acknowledgement timed out"]
    assert len(setting.broker.queues["q"]) == 1


def test_a_consumer_timeout_of_4_3_cancels_the_consumer_only() -> None:
    """The channel stays open; the client is told by a server-sent `basic.cancel`."""
    setting = Setting(timeout_cancels=True)
    setting.queue("q")
    setting.publish("q", "a")
    client = Client(setting)
    client.consume("q")
    setting.run()
    setting.broker.time_out_consumers(older_than=0.5)
    setting.run()
    assert client.errors == []
    assert client.cancelled == ["q"]
    assert len(setting.broker.queues["q"]) == 1


def test_a_resource_alarm_stops_publishers_only() -> None:
    """What they publish waits unread; consumers go on; both are told."""
    setting = Setting()
    setting.queue("q")
    told: list[bool] = []
    setting.publisher.on_blocked = told.append
    setting.broker.mark_publisher(setting.publisher)
    setting.publish("q", "before")
    setting.run()
    setting.broker.block(True)
    setting.publish("q", "during")
    client = Client(setting)
    client.consume("q")
    setting.run(60.0)
    assert client.bodies == ["before"]
    setting.broker.block(False)
    setting.run()
    assert client.bodies == ["before", "during"]
    assert told == [True, False]


def test_a_cut_link_that_heals_in_time_loses_nothing() -> None:
    """TCP sends again what was under way."""
    setting = Setting()
    setting.queue("q")
    client = Client(setting, heartbeat=10.0)
    client.consume("q")
    setting.run()
    client.connection.cut()
    setting.publish("q", "a")
    setting.run(5.0)
    assert client.got == []
    client.connection.heal()
    setting.run()
    assert client.bodies == ["a"]
    assert client.lost == []


def test_a_cut_link_is_noticed_by_both_ends_on_their_own() -> None:
    """Each by its heartbeat, between one and two intervals later; the message is redelivered to somebody else."""
    setting = Setting()
    setting.queue("q")
    setting.publish("q", "a")
    client = Client(setting, heartbeat=10.0)
    client.consume("q")
    setting.run()
    client.connection.cut()
    setting.run(9.0)
    assert client.lost == []
    assert client.connection.server_open
    setting.run(12.0)
    assert client.lost == ["heartbeat missed"]
    assert not client.connection.server_open
    assert len(setting.broker.queues["q"]) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"message_ttl": 3.0}, "406 PRECONDITION_FAILED - inequivalent arg for queue 'q'"),
        ({}, None),
    ],
)
def test_declaring_again_with_other_arguments_is_refused(options: dict[str, Any], error: str | None) -> None:
    """With the same ones it is idempotent."""
    setting = Setting()
    setting.queue("q")
    client = Client(setting)
    client.channel.declare("q", QueueOptions(**options))
    setting.run()
    assert client.errors == ([] if error is None else [error])


def test_a_delivery_limit_drops_what_was_returned_too_often() -> None:
    """Quorum queues of 4.x: the 21st return is one too many with a limit of 20."""
    setting = Setting()
    setting.queue("q", delivery_limit=2)
    setting.publish("q", "a")
    client = Client(setting)
    client.consume("q", prefetch=1)
    for _ in range(5):
        setting.run()
        if client.got and client.got[-1].tag in client.channel.unacked:
            client.channel.nack(client.got[-1].tag, requeue=True)
    setting.run()
    assert len(client.got) == 3


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("*.m1.claims", "agents.m1.claims", True),
        ("*.m1.claims", "agents.m2.claims", False),
        ("*.m1.claims", "m1.claims", False),
        ("a.#", "a", True),
        ("a.#", "a.b.c", True),
        ("#.c", "a.b.c", True),
        ("a.*", "a", False),
    ],
)
def test_topic_patterns(pattern: str, key: str, matches: bool) -> None:
    """`*` is exactly one word, `#` is any number of words."""
    assert topic_matches(pattern, key) is matches


@pytest.mark.generated
def test_an_election_leaves_channels_behind_on_which_nothing_arrives() -> None:
    """They swallow or refuse, for ever, what they publish to durable queues; another channel is well."""
    outcomes = set()
    for seed in seeds(20):
        setting = Setting(rng=random.Random(seed))
        setting.queue("q")
        setting.broker.lose_leaders()
        setting.publish("q", "a")
        setting.publish("q", "b")
        setting.run()
        outcomes.add((len(setting.broker.queues["q"]), tuple(sorted(setting.confirms))))
        setting.out = setting.publisher.channel()
        setting.publish("q", "c")
        setting.run()
        assert setting.broker.queues["q"].messages()[-1].body == "c"
    taken, refused, swallowed = (2, ((1, True), (2, True))), (0, ((1, False), (2, False))), (0, ())
    assert outcomes == {taken, refused, swallowed}
