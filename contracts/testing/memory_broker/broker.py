"""RabbitMQ in memory, as it is: for tests of both sides, and for the simulator.

Models what the protocol leans on, on a virtual clock and by a seeded generator: exchanges, durable and exclusive
queues, prefetch per consumer, requeue with the `redelivered` flag, confirms, mandatory returns, time to live and
dead-lettering with `x-death`, consumer timeouts, resource alarms, length limits with `reject-publish`, and a node
that is killed: connections and exclusive queues are gone, unconfirmed messages may be, acknowledgements of the last
moment are forgotten, and redelivered flags may be lost.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from contracts.testing.clock import VirtualClock
from contracts.testing.memory_broker.channels import ignore
from contracts.testing.memory_broker.connections import Connection
from contracts.testing.memory_broker.queues import Publication, Queue, QueuedMessage, QueueOptions

ExchangeType = Literal["direct", "topic", "fanout"]


class MemoryBroker:
    """One node with one vhost."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        rng: random.Random | None = None,
        latency: tuple[float, float] = (0.0005, 0.002),
        confirm: tuple[float, float] = (0.001, 0.01),
        timeout_cancels: bool = False,
        ack_flush: float = 0.1,
    ) -> None:
        """`latency`, `confirm`: least and most seconds of one way of the wire, and until a message is safe on disk.

        `timeout_cancels`: consumer timeouts cancel the consumer (4.3) instead of closing its channel.
        `ack_flush`: a kill may forget acknowledgements that are younger than these seconds.
        """
        self.clock = clock
        self.up = True
        self.blocked = False
        self.timeout_cancels = timeout_cancels
        self.ack_flush = ack_flush
        self.exchanges: dict[str, ExchangeType] = {}
        self.queues: dict[str, Queue] = {}
        self.connections: list[Connection] = []
        #: deliveries by `Publication.identity`
        self.deliveries: Counter[int] = Counter()
        self.latency_range = latency
        self._confirm = confirm
        self._rng = rng or random.Random(0)  # noqa: S311  # a model's dice, not a secret
        self._bindings: dict[str, dict[tuple[str, str], None]] = {}
        self._identity = 0

    # ---- for tests

    def connect(self, name: str = "", *, heartbeat: float = 10.0, user: str = "guest") -> Connection:
        """A new connection; raises `ConnectionRefusedError` while the node is down."""
        if not self.up:
            raise ConnectionRefusedError("the broker is down")
        connection = Connection(self, name, heartbeat=heartbeat, user=user)
        self.connections.append(connection)
        return connection

    def declare_exchange(self, name: str, kind: ExchangeType) -> None:
        """All exchanges are durable."""
        self.exchanges[name] = kind

    def kill(self, *, lose_flags: bool = False) -> None:
        """SIGKILL of the node; `lose_flags`: messages come back without their `redelivered` flag."""
        self.up = False
        self.blocked = False
        for connection in list(self.connections):
            connection.server_open = False
            connection.to_server.drop()
            for channel in connection.channels:
                channel._alive = False
                channel.consumers.clear()
                channel.unacked.clear()
            if connection.client_open:
                connection.to_client.drop()
                connection._reset_later()
        self.connections.clear()
        for name, queue in list(self.queues.items()):
            queue.crash(lose_flags=lose_flags)
            if queue.owner is not None or not queue.options.durable:
                self._delete(name)

    def start(self) -> None:
        """After `kill`: queues deliver again. Clients connect by themselves."""
        self.up = True
        for queue in list(self.queues.values()):
            queue.pump()

    def lose_leaders(self) -> None:
        """A cluster elects new leaders of its quorum queues: some channels never find them.

        What such a channel publishes is swallowed without a word, or refused, for as long as the channel lives
        (RabbitMQ 3.10.8); another one, also of the same connection, is well.
        """
        for channel in [channel for connection in self.connections for channel in connection.channels]:
            if self.chance(0.5):
                channel.astray = "swallowed" if self.chance(0.5) else "refused"

    def block(self, blocked: bool) -> None:
        """A resource alarm begins or ends: connections that publish are not read from meanwhile."""
        self.blocked = blocked
        for connection in self.connections:
            if connection.publishes:
                self._apply_alarm(connection)

    def mark_publisher(self, connection: Connection) -> None:
        """This connection publishes: a resource alarm stops it (RabbitMQ finds out at the first publish)."""
        connection.publishes = True
        if self.blocked:
            self._apply_alarm(connection)

    def time_out_consumers(self, older_than: float) -> int:
        """Run the consumer timeout check with this limit in seconds; says how many channels it hit."""
        channels = [channel for connection in self.connections for channel in connection.channels]
        return sum(channel.time_out(older_than) for channel in channels)

    # ---- for connections and queues

    def latency(self) -> float:
        """Seconds that a frame takes, another number each time."""
        low, high = self.latency_range
        return low + (high - low) * self._rng.random()

    def confirm_delay(self) -> float:
        """Seconds until a publication is confirmed, another number each time."""
        low, high = self._confirm
        return low + (high - low) * self._rng.random()

    def chance(self, probability: float) -> bool:
        """Does it happen this time, with this probability (0 to 1)?"""
        return self._rng.random() < probability

    def fraction(self) -> float:
        """A random number in [0, 1)."""
        return self._rng.random()

    def next_identity(self) -> int:
        """A number for a publication; none comes twice."""
        self._identity += 1
        return self._identity

    def declare_queue(self, name: str, options: QueueOptions, connection: object) -> str | None:
        """None, or the channel error."""
        queue = self.queues.get(name)
        if queue is None:
            owner = connection if options.exclusive else None
            self.queues[name] = Queue(self, name, options, owner)
            return None
        if queue.owner is not None and queue.owner is not connection:
            return f"405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}'"
        if queue.options != options:
            return f"406 PRECONDITION_FAILED - inequivalent arg for queue '{name}'"
        return None

    def bind(self, queue: str, exchange: str, key: str) -> None:
        """Messages for `exchange` with this key go to `queue`, from now on."""
        self._bindings.setdefault(exchange, {})[(key, queue)] = None

    def route(self, publication: Publication) -> list[Queue]:
        """The queues that this publication goes to, each once."""
        kind = self.exchanges[publication.exchange]
        key = publication.routing_key
        found: dict[str, Queue] = {}
        for pattern, name in self._bindings.get(publication.exchange, ()):
            if kind == "fanout" or pattern == key or (kind == "topic" and topic_matches(pattern, key)):
                queue = self.queues.get(name)
                if queue is not None:
                    found[name] = queue
        return list(found.values())

    def dead_letter(self, publication: Publication) -> None:
        """To the queues bound to its dead-letter exchange; none, or a circle without a rejection: dropped."""
        if publication.exchange not in self.exchanges:
            return
        deaths = publication.headers["x-death"]
        circle = {death["queue"] for death in deaths} if all(d["reason"] != "rejected" for d in deaths) else set()
        for queue in self.route(publication):
            if queue.name not in circle:
                queue.push(replace(publication), safe=True)

    def delivered(self, queue: Queue, entry: QueuedMessage) -> None:
        """Counts how often each publication was delivered."""
        self.deliveries[entry.publication.identity] += 1

    def forget(self, connection: Connection) -> None:
        """A connection is closed: its exclusive queues go with it."""
        if connection in self.connections:
            self.connections.remove(connection)
        for name in [name for name, queue in self.queues.items() if queue.owner is connection]:
            self._delete(name)

    def _delete(self, name: str) -> None:
        self.queues.pop(name).stop()
        for bindings in self._bindings.values():
            for binding in [binding for binding in bindings if binding[1] == name]:
                del bindings[binding]

    def _apply_alarm(self, connection: Connection) -> None:
        if self.blocked:
            connection.to_server.hold("alarm")
        else:
            connection.to_server.release("alarm")
        told: Callable[[bool], object] = connection.on_blocked if connection.client_open else ignore
        connection.to_client.send(told, self.blocked)


def topic_matches(pattern: str, key: str) -> bool:
    """AMQP topic matching: `*` is one word, `#` any number of them."""
    return _words_match(pattern.split("."), key.split("."))


def _words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_words_match(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _words_match(pattern[1:], words[1:])
