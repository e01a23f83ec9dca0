"""Channels and consumers of the broker model, seen from both ends of the wire.

A client calls methods that return at once; what the broker makes of them arrives later, in order, through callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from contracts.testing.memory_broker import queues
from contracts.testing.memory_broker.network import Direction
from contracts.testing.memory_broker.queues import Publication, Queue, QueuedMessage, QueueOptions


def ignore(*_: object) -> None:
    """A callback for what a client does not care about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """`basic.deliver`."""

    tag: int
    consumer: str
    queue: str
    publication: Publication
    redelivered: bool

    @property
    def deaths(self) -> int:
        """How often it was dead-lettered."""
        return sum(death["count"] for death in self.publication.headers.get("x-death", ()))


class BrokerForChannels(queues.BrokerForQueues, Protocol):
    """The broker, as channels know it."""

    timeout_cancels: bool

    @property
    def exchanges(self) -> Mapping[str, str]:
        """Their names, and types."""

    @property
    def queues(self) -> Mapping[str, Queue]:
        """By name."""

    def declare_queue(self, name: str, options: QueueOptions, connection: object) -> str | None:
        """Why that cannot be, as RabbitMQ says it; None: it is there."""

    def bind(self, queue: str, exchange: str, key: str) -> None: ...

    def route(self, publication: Publication) -> list[Queue]:
        """The queues that get it."""

    def delivered(self, queue: Queue, entry: QueuedMessage) -> None: ...

    def confirm_delay(self) -> float: ...

    def fraction(self) -> float: ...

    def next_identity(self) -> int: ...


class ConnectionForChannels(Protocol):
    """The connection, as its channels know it."""

    user: str
    client_open: bool
    server_open: bool
    to_server: Direction
    to_client: Direction

    @property
    def broker(self) -> BrokerForChannels: ...


class Consumer:
    """The broker's end of a consumer. Its prefetch is its own, beside that which the channel's consumers share."""

    __slots__ = ("channel", "exclusive", "held", "on_cancel", "on_delivery", "prefetch", "queue", "tag")

    def __init__(
        self,
        channel: Channel,
        queue: Queue,
        tag: str,
        prefetch: int,
        exclusive: bool,
        on_delivery: Callable[[Delivery], object],
        on_cancel: Callable[[str], object],
    ) -> None:
        self.channel = channel
        self.queue = queue
        self.tag = tag
        self.prefetch = prefetch
        self.exclusive = exclusive
        self.held = 0
        self.on_delivery = on_delivery
        self.on_cancel = on_cancel

    @property
    def has_room(self) -> bool:
        """It and its channel may hold one more delivery."""
        return (self.prefetch == 0 or self.held < self.prefetch) and self.channel.has_room

    def deliver(self, entry: QueuedMessage) -> None:
        """From its queue: one message, which is unacknowledged then."""
        self.held += 1
        self.channel.deliver(self, entry)


class Channel:
    """One AMQP channel. Methods are the client's; callbacks reach the client."""

    def __init__(self, connection: ConnectionForChannels) -> None:
        self.connection = connection
        #: the channel was closed by the broker: (code and text)
        self.on_close: Callable[[str], object] = ignore
        #: (publish tag, True for ack and False for nack)
        self.on_confirm: Callable[[int, bool], object] = ignore
        #: a mandatory publication that no queue takes; its confirm follows
        self.on_return: Callable[[int, Publication], object] = ignore
        self.open = True
        #: what becomes of all that it publishes to durable queues: see `MemoryBroker.lose_leaders`
        self.astray: Literal["swallowed", "refused"] | None = None
        self._broker = connection.broker
        self._published = 0
        # the broker's end
        self._alive = True
        self._tag = 0
        self._shared_prefetch = 0
        self.unacked: dict[int, tuple[QueuedMessage, Consumer, float]] = {}
        self.consumers: dict[str, Consumer] = {}

    # ---- the client's end

    def declare(self, name: str, options: QueueOptions, done: Callable[[], object] = ignore) -> None:
        """`queue.declare`; refused (405, 406) closes the channel."""
        self._send(self._declare, name, options, done)

    def bind(self, queue: str, exchange: str, key: str = "") -> None:
        """As `queue.bind`; nobody is told when it is done."""
        self._send(self._broker.bind, queue, exchange, key)

    def publish(self, publication: Publication, *, mandatory: bool = False) -> int:
        """`basic.publish` on a channel with confirms; returns the tag that the confirm will carry."""
        self._published += 1
        self._send(self._publish, self._published, publication, mandatory)
        return self._published

    def consume(
        self,
        queue: str,
        tag: str,
        on_delivery: Callable[[Delivery], object],
        *,
        prefetch: int = 0,
        exclusive: bool = False,
        on_ok: Callable[[], object] = ignore,
        on_cancel: Callable[[str], object] = ignore,
    ) -> None:
        """`basic.qos` and `basic.consume`, manual acknowledgement. Refused (403, 404, 405) closes the channel."""
        self._send(self._consume, queue, tag, on_delivery, prefetch, exclusive, on_ok, on_cancel)

    def share_prefetch(self, count: int) -> None:
        """`basic.qos` with `global`: all consumers of the channel together, and what it holds of cancelled ones."""
        self._send(self._share_prefetch, count)

    def get(self, queue: str, done: Callable[[Delivery | None], object]) -> None:
        """`basic.get`, to be acknowledged; None: nothing is ready. Refused (404, 405) closes the channel."""
        self._send(self._get, queue, done)

    def cancel(self, tag: str) -> None:
        """`basic.cancel`: nothing new comes; what was delivered stays unacknowledged."""
        self._send(self._cancel, tag)

    def ack(self, tag: int) -> None:
        """The delivery with this tag is done with."""
        self._send(self._settle, tag, "ack")

    def nack(self, tag: int, *, requeue: bool) -> None:
        """The delivery with this tag goes back to its queue (`requeue`), or is dead-lettered."""
        self._send(self._settle, tag, "requeue" if requeue else "reject")

    def close(self) -> None:
        """As `channel.close`: what is unacknowledged goes back to its queues."""
        self.open = False
        self._send(self._shut)

    def _send(self, frame: Callable[..., object], *args: object) -> None:
        if self.connection.client_open:
            self.connection.to_server.send(self._handle, frame, args)

    # ---- the broker's end

    def _handle(self, frame: Callable[..., object], args: tuple[object, ...]) -> None:
        if self._alive and self.connection.server_open:
            frame(*args)

    def _reply(self, callback: Callable[..., object], *args: object, extra: float = 0.0) -> None:
        if self.connection.server_open:
            self.connection.to_client.send(self._tell, callback, args, extra=extra)

    def _tell(self, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        if self.connection.client_open and self.open:
            callback(*args)

    def _declare(self, name: str, options: QueueOptions, done: Callable[[], object]) -> None:
        error = self._broker.declare_queue(name, options, self.connection)
        if error is not None:
            self.fail(error)
        else:
            self._reply(done)

    def _publish(self, tag: int, publication: Publication, mandatory: bool) -> None:
        if publication.exchange not in self._broker.exchanges:
            self.fail(f"404 NOT_FOUND - no exchange '{publication.exchange}'")
            return
        if publication.user_id not in ("", self.connection.user):
            self.fail(f"406 PRECONDITION_FAILED - user_id '{publication.user_id}' is not '{self.connection.user}'")
            return
        if not publication.identity:
            publication = replace(publication, identity=self._broker.next_identity())
        queues = self._broker.route(publication)
        if not queues:
            if mandatory:
                self._reply(self._returned, tag, publication)
            self._reply(self._confirmed, tag, True)
            return
        if self.astray is not None and any(queue.options.durable for queue in queues):
            if self.astray == "refused":
                self._reply(self._confirmed, tag, False)
            return
        accepted = [queue for queue in queues if queue.accepts(publication.size)]
        entries = [queue.push(publication, safe=False) for queue in accepted]
        if len(accepted) < len(queues):
            self._reply(self._confirmed, tag, False)
        else:
            self._broker.clock.call_later(self._broker.confirm_delay(), self._safe, tag, entries)

    def _safe(self, tag: int, entries: list[QueuedMessage]) -> None:
        if self.connection.server_open:
            for entry in entries:
                entry.safe = True
            self._reply(self._confirmed, tag, True)

    def _confirmed(self, tag: int, ok: bool) -> None:
        self.on_confirm(tag, ok)

    def _returned(self, tag: int, publication: Publication) -> None:
        self.on_return(tag, publication)

    def _consume(
        self,
        name: str,
        tag: str,
        on_delivery: Callable[[Delivery], object],
        prefetch: int,
        exclusive: bool,
        on_ok: Callable[[], object],
        on_cancel: Callable[[str], object],
    ) -> None:
        queue = self._broker.queues.get(name)
        if queue is None:
            self.fail(f"404 NOT_FOUND - no queue '{name}'")
        elif queue.owner is not None and queue.owner is not self.connection:
            self.fail(f"405 RESOURCE_LOCKED - queue '{name}' belongs to another connection")
        elif queue.consumers and (exclusive or queue.consumers[0].exclusive):
            self.fail(f"403 ACCESS_REFUSED - queue '{name}' in exclusive use")
        else:
            consumer = Consumer(self, queue, tag, prefetch, exclusive, on_delivery, on_cancel)
            self.consumers[tag] = consumer
            queue.consumers.append(consumer)
            self._reply(on_ok)
            queue.pump()

    def _share_prefetch(self, count: int) -> None:
        self._shared_prefetch = count

    @property
    def has_room(self) -> bool:
        """`global_qos`: all of its consumers together may hold one more delivery."""
        return self._shared_prefetch == 0 or len(self.unacked) < self._shared_prefetch

    def _get(self, name: str, done: Callable[[Delivery | None], object]) -> None:
        queue = self._broker.queues.get(name)
        if queue is None:
            self.fail(f"404 NOT_FOUND - no queue '{name}'")
            return
        entry = queue.take()
        if entry is None:
            self._reply(done, None)
        else:
            Consumer(self, queue, "", 0, False, done, ignore).deliver(entry)

    def _cancel(self, tag: str) -> None:
        consumer = self.consumers.pop(tag, None)
        if consumer is not None and consumer in consumer.queue.consumers:
            consumer.queue.consumers.remove(consumer)

    def deliver(self, consumer: Consumer, entry: QueuedMessage) -> None:
        """From a queue: on its way to the client, as fast as the network is."""
        self._tag += 1
        self.unacked[self._tag] = (entry, consumer, self._broker.clock.now)
        self._broker.delivered(consumer.queue, entry)
        delivery = Delivery(
            tag=self._tag,
            consumer=consumer.tag,
            queue=consumer.queue.name,
            publication=entry.publication,
            redelivered=entry.redelivered,
        )
        self._reply(consumer.on_delivery, delivery)

    def _settle(self, tag: int, how: str) -> None:
        held = self.unacked.pop(tag, None)
        if held is None:
            self.fail(f"406 PRECONDITION_FAILED - unknown delivery tag {tag}")
            return
        entry, consumer, _ = held
        consumer.held -= 1
        queue = consumer.queue
        if how == "ack":
            queue.ack(entry)
        elif how == "requeue":
            queue.requeue(entry)
        else:
            queue.reject(entry)
        self._make_room(queue)

    def _make_room(self, queue: Queue) -> None:
        """Something of `queue` is held no more; a shared prefetch has room for any then, in whatever order."""
        queue.pump()
        if self._shared_prefetch:
            for consumer in sorted(self.consumers.values(), key=lambda _: self._broker.fraction()):
                consumer.queue.pump()

    def time_out(self, older_than: float) -> bool:
        """The consumer timeout looks at this channel; True when it fired.

        Up to 4.2 the channel is closed (406); from 4.3 the consumer is cancelled and its deliveries go back.
        """
        late = [(tag, held) for tag, held in self.unacked.items() if held[2] <= self._broker.clock.now - older_than]
        if not late:
            return False
        if not self._broker.timeout_cancels:
            self.fail("406 PRECONDITION_FAILED - delivery acknowledgement timed out")
            return True
        for consumer in dict.fromkeys(held[1] for _, held in late):
            self._cancel(consumer.tag)
            for tag in [tag for tag, held in self.unacked.items() if held[1] is consumer]:
                consumer.queue.requeue(self.unacked.pop(tag)[0])
            self._reply(consumer.on_cancel, consumer.tag)
            self._make_room(consumer.queue)
        return True

    def fail(self, error: str) -> None:
        """A channel exception."""
        self._shut()
        self._reply(self._closed, error)

    def _closed(self, error: str) -> None:
        self.open = False
        self.on_close(error)

    def _shut(self) -> None:
        if not self._alive:
            return
        self._alive = False
        queues: dict[str, Queue] = {}
        for tag in list(self.consumers):
            self._cancel(tag)
        for entry, consumer, _ in self.unacked.values():
            consumer.queue.requeue(entry)
            queues[consumer.queue.name] = consumer.queue
        self.unacked.clear()
        for queue in queues.values():
            queue.pump()
