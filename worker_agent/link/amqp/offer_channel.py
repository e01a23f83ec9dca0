"""One AMQP channel on which offers are consumed."""

from __future__ import annotations

from collections.abc import Container

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from worker_agent.link.amqp.declare import known_tags
from worker_agent.link.amqp.one_at_a_time import OneAtATime
from worker_agent.link.errors import LIBRARY_ERRORS


class OfferChannel:
    """Its consumers by tag, and the deliveries of it that nobody settled yet.

    `way`: how the broker is kept from handing out a second one.
    """

    def __init__(self, channel: AbstractChannel, way: OneAtATime) -> None:
        self.channel = channel
        self.way = way
        self.consumers: dict[str, AbstractQueue] = {}
        self.held: dict[int, AbstractIncomingMessage] = {}
        self.closed = False

    @classmethod
    async def open(cls, connection: AbstractConnection, way: OneAtATime) -> OfferChannel:
        """A new channel with prefetch 1. Raises what aio-pika does."""
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize()
        await channel.set_qos(prefetch_count=1, global_=way.shared)
        return cls(channel, way)

    @property
    def quiet(self) -> bool:
        """The broker hands nothing more out here before what is held is settled: the consumers may stay."""
        return self.way.quiet(holds=bool(self.held))

    def consumed(self) -> frozenset[str]:
        """Names of the queues it consumes."""
        return frozenset(queue.name for queue in self.consumers.values())

    def queue_of(self, message: AbstractIncomingMessage) -> str:
        """The queue that a message held here came from; "" when its consumer is gone."""
        queue = self.consumers.get(message.consumer_tag or "")
        return queue.name if queue is not None else ""

    async def live_tags(self) -> Container[str]:
        """Tags the library still has callbacks for: it forgets a consumer that the broker cancelled."""
        return await known_tags(self.channel)

    async def cancel_all_but(self, wanted: Container[str]) -> None:
        """Consume the `wanted` queues only."""
        for tag, queue in list(self.consumers.items()):
            if queue.name in wanted:
                continue
            self.consumers.pop(tag, None)
            try:
                # Waits for cancel-ok: what the broker had sent before it has then been delivered to us and is given
                # back. (Without waiting the library drops it silently, and it would starve, unacknowledged.)
                await queue.cancel(tag)
            except LIBRARY_ERRORS:
                if not self.channel.is_closed:
                    raise

    async def close(self) -> None:
        """The broker takes back what is held."""
        self.closed = True
        await self.channel.close()
