"""One AMQP channel on which offers are consumed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container

from aio_pika.abc import AbstractConnection
from aiormq import Channel

from worker_agent.link.amqp.channels import open_channel
from worker_agent.link.amqp.delivery import Delivery, consume
from worker_agent.link.errors import LIBRARY_ERRORS


class OfferChannel:
    """The queues of its consumers by tag, and the deliveries of it that nobody settled yet.

    The broker hands each consumer nothing more before what it brought is settled; with `shared` none of the others,
    either.
    """

    def __init__(self, channel: Channel, *, shared: bool) -> None:
        self.channel = channel
        #: tags the library still has callbacks for: it forgets a consumer that the broker cancelled
        self.live: Container[str] = channel.consumers
        self.shared = shared
        self.consumers: dict[str, str] = {}
        #: those that brought what is held: they bring nothing more before it is settled
        self.filled: dict[str, str] = {}
        self.held: dict[int, Delivery] = {}
        self.closed = False

    @classmethod
    async def open(cls, connection: AbstractConnection, *, shared: bool) -> OfferChannel:
        """A new channel with prefetch 1. Raises what the library raises."""
        channel = await open_channel(connection)
        await channel.basic_qos(prefetch_count=1, global_=shared)
        return cls(channel, shared=shared)

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
        return frozenset(self.consumers.values())

    @property
    def idle(self) -> bool:
        """It holds nothing, and all of its consumers live."""
        return not (self.held or self.filled) and all(tag in self.live for tag in self.consumers)

    def set_filled_apart(self) -> None:
        """What they brought may be held for hours: from now on they do not count as consumers."""
        for message in self.held.values():
            _move(message.consumer, self.consumers, self.filled)

    def put_back(self, tag: str) -> None:
        """This one counts again: what it brought is settled next."""
        _move(tag, self.filled, self.consumers)

    async def start(self, tag: str, queue: str, came: Callable[[Delivery], Awaitable[None]]) -> None:
        """Consume this queue, too. Raises what the library raises; a refusal closes the channel."""
        # Before the request, not after: the first offer may arrive together with the answer.
        self.consumers[tag] = queue
        await consume(self.channel, queue, came, tag=tag)

    async def cancel_all_but(self, wanted: Container[str]) -> None:
        """Consume the `wanted` queues only."""
        for tag, queue in list(self.consumers.items()):
            if queue not in wanted:
                await self.cancel(tag)

    async def cancel_filled(self) -> None:
        """What they brought stays unacknowledged."""
        for tag in list(self.filled):
            await self.cancel(tag)

    async def cancel(self, tag: str) -> None:
        """One consumer, where it is there."""
        if self.consumers.pop(tag, None) is None and self.filled.pop(tag, None) is None:
            return
        try:
            # Waits for cancel-ok: what the broker had sent before it has then been delivered to us and is given back.
            # (Without waiting the library drops it silently, and it would starve, unacknowledged.)
            await self.channel.basic_cancel(tag)
        except LIBRARY_ERRORS:
            if not self.channel.is_closed:
                raise

    async def turn_away(self, message: Delivery) -> None:
        """Give back at once what a consumer brought, and have it bring nothing more.

        The cancel is sent also where the consumer is being cancelled: that may not be on the wire yet. It is waited
        for: aiormq before 7.2 waits, for ever, for the answer that `nowait` tells the broker not to give.
        """
        self.consumers.pop(message.consumer, None)
        try:
            await self.channel.basic_cancel(message.consumer)
            await message.settle("give_back")
        except LIBRARY_ERRORS:
            if not self.channel.is_closed:
                raise

    async def close(self) -> None:
        """The broker takes back what is held."""
        self.closed = True
        await self.channel.close()


def _move(tag: str, source: dict[str, str], target: dict[str, str]) -> None:
    queue = source.pop(tag, None)
    if queue is not None:
        target[tag] = queue
