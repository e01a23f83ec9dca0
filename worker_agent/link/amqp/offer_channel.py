"""One AMQP channel on which offers are consumed."""

from __future__ import annotations

from collections.abc import Container

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from worker_agent.link.amqp.declare import known_tags
from worker_agent.link.errors import LIBRARY_ERRORS


class OfferChannel:
    """Its consumers by tag, and the deliveries of it that nobody settled yet.

    The broker hands each consumer nothing more before what it brought is settled; with `shared` none of the others,
    either.
    """

    def __init__(self, channel: AbstractChannel, live: Container[str], *, shared: bool) -> None:
        self.channel = channel
        #: tags the library still has callbacks for: it forgets a consumer that the broker cancelled
        self.live = live
        self.shared = shared
        self.consumers: dict[str, AbstractQueue] = {}
        #: those that brought what is held: they bring nothing more before it is settled
        self.filled: dict[str, AbstractQueue] = {}
        self.held: dict[int, AbstractIncomingMessage] = {}
        self.closed = False

    @classmethod
    async def open(cls, connection: AbstractConnection, *, shared: bool) -> OfferChannel:
        """A new channel with prefetch 1. Raises what aio-pika does."""
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize()
        await channel.set_qos(prefetch_count=1, global_=shared)
        return cls(channel, await known_tags(channel), shared=shared)

    @property
    def quiet(self) -> bool:
        """The broker hands nothing more out here before what is held is settled."""
        return self.shared and bool(self.held)

    @property
    def spent(self) -> bool:
        """It neither holds nor consumes anything."""
        return not (self.held or self.consumers or self.filled)

    def consumed(self) -> frozenset[str]:
        """Names of the queues from which it may bring an offer, now or when its `filled` ones are done with."""
        return frozenset(queue.name for queue in self.consumers.values())

    @property
    def idle(self) -> bool:
        """It holds nothing, and all of its consumers live."""
        return not (self.held or self.filled) and all(tag in self.live for tag in self.consumers)

    def set_filled_apart(self) -> None:
        """What they brought may be held for hours: from now on they do not count as consumers."""
        for message in self.held.values():
            _move(message.consumer_tag or "", self.consumers, self.filled)

    def put_back(self, tag: str) -> None:
        """This one counts again: what it brought is settled next."""
        _move(tag, self.filled, self.consumers)

    async def cancel_all_but(self, wanted: Container[str]) -> None:
        """Consume the `wanted` queues only."""
        for tag, queue in list(self.consumers.items()):
            if queue.name not in wanted:
                await self.cancel(tag)

    async def cancel_filled(self) -> None:
        """What they brought stays unacknowledged."""
        for tag in list(self.filled):
            await self.cancel(tag)

    async def cancel(self, tag: str) -> None:
        """One consumer, where it is there."""
        queue = self.consumers.pop(tag, None) or self.filled.pop(tag, None)
        if queue is None:
            return
        try:
            # Waits for cancel-ok: what the broker had sent before it has then been delivered to us and is given back.
            # (Without waiting the library drops it silently, and it would starve, unacknowledged.)
            await queue.cancel(tag)
        except LIBRARY_ERRORS:
            if not self.channel.is_closed:
                raise

    async def turn_away(self, tag: str, message: AbstractIncomingMessage) -> None:
        """Give back at once what this consumer brought, and have it bring nothing more.

        The cancel need not be waited for, unlike that of `cancel`: with a prefetch of one nothing else is under way to
        this consumer. It is sent also where the consumer is being cancelled: that may not be on the wire yet.
        """
        self.consumers.pop(tag, None)
        try:
            await (await self.channel.get_underlay_channel()).basic_cancel(tag, nowait=True)
            await message.nack(requeue=True)
        except LIBRARY_ERRORS:
            if not self.channel.is_closed:
                raise

    async def close(self) -> None:
        """The broker takes back what is held."""
        self.closed = True
        await self.channel.close()


def _move(tag: str, source: dict[str, AbstractQueue], target: dict[str, AbstractQueue]) -> None:
    queue = source.pop(tag, None)
    if queue is not None:
        target[tag] = queue
