"""One queue of the broker model: order, priorities, redelivery, time to live, dead-lettering, length limit.

Behaviour follows RabbitMQ's documentation of classic queues: requeued messages go back to their old place, messages
expire at the head only, `reject-publish` counts messages that are ready, not those that are unacknowledged.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from contracts.testing.clock import Timer, VirtualClock

DeathReason = Literal["rejected", "expired", "delivery_limit"]
#: How many (queue, reason) pairs `x-death` may name before the model says that something runs in circles.
_DEATHS_MAX = 100


@dataclass(kw_only=True, slots=True)
class Publication:
    """A message as it was published. `body` is opaque; `size` is what length limits count, in bytes."""

    exchange: str
    routing_key: str
    body: Any
    size: int = 0
    headers: dict[str, Any] = field(default_factory=dict)
    type: str = ""
    content_type: str = ""
    priority: int = 0
    #: seconds in one queue before it is dropped or dead-lettered
    expiration: float | None = None
    persistent: bool = True
    #: who sent it, "": it does not say; another than its connection's user closes the channel
    user_id: str = ""
    #: same for all copies, also after dead-lettering; set by the broker
    identity: int = 0


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """What `queue.declare` says, with RabbitMQ's names."""

    durable: bool = True
    exclusive: bool = False
    #: x-message-ttl, in seconds
    message_ttl: float | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    max_length_bytes: int | None = None
    overflow: Literal["drop-head", "reject-publish"] = "drop-head"
    max_priority: int = 0
    #: quorum queues, and all of 4.x: returned more often than this is dead-lettered
    delivery_limit: int | None = None


@dataclass(eq=False, slots=True)
class QueuedMessage:
    """One message in one queue."""

    publication: Publication
    position: int
    expires_at: float | None
    redelivered: bool = False
    #: how often it was handed to a consumer of this queue
    deliveries: int = 0
    #: its publisher was told, or it came by dead-lettering: a crash keeps it
    safe: bool = False


class Consuming(Protocol):
    """A consumer, as its queue knows it."""

    exclusive: bool

    @property
    def has_room(self) -> bool:
        """It takes one more delivery."""

    def deliver(self, entry: QueuedMessage) -> None:
        """One message, in the order of the queue."""


class BrokerForQueues(Protocol):
    """The broker, as its queues know it."""

    clock: VirtualClock
    ack_flush: float

    def chance(self, probability: float) -> bool: ...

    def dead_letter(self, publication: Publication) -> None: ...


class Queue:
    """A queue of the broker in memory: its messages, consumers and unacknowledged deliveries."""

    def __init__(self, broker: BrokerForQueues, name: str, options: QueueOptions, owner: object | None) -> None:
        self.name = name
        self.options = options
        self.owner = owner
        self.consumers: deque[Consuming] = deque()
        self.unacked: dict[int, QueuedMessage] = {}
        self.ready_bytes = 0
        self._broker = broker
        self._clock = broker.clock
        self._ready: list[tuple[int, int, QueuedMessage]] = []
        self._position = 0
        self._expiry: Timer | None = None
        #: acknowledged so lately that a crash may forget it: (time, entry)
        self._acked: deque[tuple[float, QueuedMessage]] = deque()

    def __len__(self) -> int:
        """Messages that are ready."""
        return len(self._ready)

    def messages(self) -> list[Publication]:
        """What is ready, in order."""
        return [entry.publication for _, _, entry in sorted(self._ready, key=lambda item: item[:2])]

    def accepts(self, size: int) -> bool:
        """False: over its length with `reject-publish`, the publisher gets a nack."""
        limit = self.options.max_length_bytes
        return limit is None or self.options.overflow != "reject-publish" or self.ready_bytes + size <= limit

    def push(self, publication: Publication, *, safe: bool) -> QueuedMessage:
        """One message to its end; `safe`: its publisher was told, so a crash keeps it."""
        times = [t for t in (self.options.message_ttl, publication.expiration) if t is not None]
        expires_at = self._clock.now + min(times) if times else None
        self._position += 1
        entry = QueuedMessage(publication, self._position, expires_at, safe=safe)
        self._insert(entry)
        limit = self.options.max_length_bytes
        while limit is not None and self.ready_bytes > limit and self._ready:
            self._pop()  # drop-head; with reject-publish only dead-lettered messages come here
        self.pump()
        return entry

    def pump(self) -> None:
        """Hand out what is ready to consumers with room, in turn."""
        while self._ready:
            if self._expire_head():
                continue
            consumer = self._next_consumer()
            if consumer is None:
                break
            consumer.deliver(self._hand_out())
        self._watch_expiry()

    def take(self) -> QueuedMessage | None:
        """The first that is ready, unacknowledged from now on (`basic.get`)."""
        while self._ready and self._expire_head():
            pass
        if not self._ready:
            return None
        return self._hand_out()

    def _hand_out(self) -> QueuedMessage:
        entry = self._pop()
        entry.deliveries += 1
        self.unacked[entry.position] = entry
        return entry

    def ack(self, entry: QueuedMessage) -> None:
        """It is gone, for good once the broker has written that: a crash before brings it back."""
        if self.unacked.pop(entry.position, None) is not None:
            self._acked.append((self._clock.now, entry))
            while self._acked and self._acked[0][0] < self._clock.now - self._broker.ack_flush:
                self._acked.popleft()

    def requeue(self, entry: QueuedMessage) -> None:
        """Back to its old place, marked as redelivered. Call `pump` afterwards."""
        if self.unacked.pop(entry.position, None) is None:
            return
        entry.redelivered = True
        limit = self.options.delivery_limit
        if limit is not None and entry.deliveries > limit:
            self._dead_letter(entry, "delivery_limit")
        else:
            self._insert(entry)

    def reject(self, entry: QueuedMessage) -> None:
        """Without requeue: dead-lettered, or dropped."""
        if self.unacked.pop(entry.position, None) is not None:
            self._dead_letter(entry, "rejected")

    def purge(self) -> None:
        """Drops what waits; what is unacknowledged stays with its consumer."""
        self._ready.clear()
        self.ready_bytes = 0

    def crash(self, *, lose_flags: bool) -> None:
        """The node was killed: consumers are gone, what was not safe may be, late acknowledgements may be."""
        self.consumers.clear()
        chance = self._broker.chance
        now = self._clock.now
        for when, entry in self._acked:
            if when >= now - self._broker.ack_flush and chance(0.5):
                self.unacked[entry.position] = entry
        self._acked.clear()
        for entry in self.unacked.values():
            entry.redelivered = True
            self._insert(entry)
        self.unacked.clear()
        kept = [item for item in self._ready if item[2].publication.persistent and (item[2].safe or not chance(0.5))]
        heapq.heapify(kept)
        self._ready = kept
        self.ready_bytes = sum(item[2].publication.size for item in kept)
        if lose_flags:
            for _, _, entry in kept:
                entry.redelivered = False
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def stop(self) -> None:
        """It is deleted: none of its messages expires any more."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _insert(self, entry: QueuedMessage) -> None:
        priority = min(entry.publication.priority, self.options.max_priority)
        heapq.heappush(self._ready, (-priority, entry.position, entry))
        self.ready_bytes += entry.publication.size

    def _pop(self) -> QueuedMessage:
        entry = heapq.heappop(self._ready)[2]
        self.ready_bytes -= entry.publication.size
        return entry

    def _next_consumer(self) -> Consuming | None:
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.has_room:
                return consumer
        return None

    def _expire_head(self) -> bool:
        entry = self._ready[0][2]
        if entry.expires_at is None or entry.expires_at > self._clock.now:
            return False
        self._dead_letter(self._pop(), "expired")
        return True

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self._ready and (when := self._ready[0][2].expires_at) is not None:
            self._expiry = self._clock.call_at(when, self.pump)

    def _dead_letter(self, entry: QueuedMessage, reason: DeathReason) -> None:
        exchange = self.options.dead_letter_exchange
        if exchange is None:
            return
        old = entry.publication
        deaths: list[dict[str, Any]] = [dict(death) for death in old.headers.get("x-death", ())]
        for death in deaths:
            if (death["queue"], death["reason"]) == (self.name, reason):
                death["count"] += 1
                deaths.remove(death)
                deaths.insert(0, death)
                break
        else:
            keys = [old.routing_key]
            deaths.insert(
                0, {"queue": self.name, "reason": reason, "count": 1, "exchange": old.exchange, "routing-keys": keys}
            )
        assert len(deaths) <= _DEATHS_MAX
        key = self.options.dead_letter_routing_key
        publication = replace(
            old,
            exchange=exchange,
            routing_key=old.routing_key if key is None else key,
            headers={**old.headers, "x-death": deaths},
            expiration=None,
        )
        self._broker.dead_letter(publication)
