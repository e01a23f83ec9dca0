"""The channel that an agent publishes on, and a new one where the broker says no on the old one.

A no (basic.nack) means that a queue is full. Or it means nothing: a channel that was opened while a quorum queue had no
leader may ask the lost one for ever (RabbitMQ 3.10.8; all that an agent said was refused until its connection ended).
Another channel looks the leader up anew, so what was refused is published once more on one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq import exceptions as amqp
from pamqp.commands import Basic

from worker_agent.link.amqp.channels import open_channel, when_closed
from worker_agent.link.errors import LIBRARY_ERRORS

#: Seconds between a no and the new channel: a cluster elects leaders within half a second.
BEFORE = 1.0
#: Seconds between two new channels. A queue that really is full says no to each message; events are tried again every
#: 5 s then.
EVERY = 5.0
#: Bytes of a body up to which a message is handed on without waiting for the socket to take the one before: such
#: messages of one moment go out together (`transport.Gathered`). Larger ones wait, so that memory has one at a time.
SMALL = 16 * 1024


class Publication(Protocol):
    """What is published: aio-pika's `Message` is one as well."""

    @property
    def body(self) -> bytes: ...

    @property
    def properties(self) -> Basic.Properties: ...


class Lane:
    """One channel. `retired`: nothing new goes there, and it closes with its last answer, unless it is `consumed`."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.under_way = 0
        self.retired = False
        self.consumed = False

    async def publish(self, exchange: str, message: Publication, key: str, mandatory: bool) -> None:
        """Returns once the broker has confirmed it. Raises what the library does: returned, refused, lost."""
        self.under_way += 1
        try:
            await self.channel.basic_publish(
                message.body,
                exchange=exchange,
                routing_key=key,
                properties=message.properties,
                mandatory=mandatory,
                wait=len(message.body) > SMALL,
            )
        finally:
            self.under_way -= 1
            if self.retired:
                await self.close_if_spent()

    async def ask(self) -> None:
        """Until the broker has come to it (channel.flow, which changes nothing), in turn with all else of this channel.

        With its answer go all confirms that it holds: while it has deliveries to hand on it keeps them, to tell of many
        at once (RabbitMQ 3.10 to 4.3).
        """
        await self.channel.flow(active=True)

    async def close_if_spent(self) -> None:
        """Closed when it takes nothing new and all that it sent is confirmed."""
        if self.retired and not self.consumed and not self.under_way and not self.channel.is_closed:
            with contextlib.suppress(*LIBRARY_ERRORS):  # the connection goes, and the channel with it
                await self.channel.close()


class Outlet:
    """Publishes on `connection`; `lost` is called when the channel closes under it."""

    def __init__(self, connection: AbstractConnection, lost: Callable[[BaseException | None], None]) -> None:
        self._connection = connection
        self._lost = lost
        self._lane: Lane
        self._renewing = asyncio.Lock()
        self._renewed_at = float("-inf")

    async def open(self) -> None:
        """Raises what the library raises."""
        lane = Lane(await open_channel(self._connection, confirms=True))
        when_closed(lane.channel, lambda error: None if lane.retired else self._lost(error))
        self._lane = lane

    def consumed(self) -> Channel:
        """The channel that it publishes on now, to be consumed on as well: it stays when another one replaces it."""
        self._lane.consumed = True
        return self._lane.channel

    async def ask(self) -> None:
        """Until the broker has come to the end of what was published so far. Raises what the library raises."""
        await self._lane.ask()

    async def publish(self, exchange: str, message: Publication, key: str, *, mandatory: bool) -> None:
        """Until the broker has it. Raises `DeliveryError` when no queue takes it, or a full one does not."""
        lane = self._lane
        try:
            await lane.publish(exchange, message, key, mandatory)
        except amqp.PublishError:
            raise  # returned: there is no queue
        except amqp.DeliveryError:
            if not await self._another_than(lane):
                raise
            await self._lane.publish(exchange, message, key, mandatory)

    async def _another_than(self, refusing: Lane) -> bool:
        """Is there another channel by now? It is made, unless that was tried a moment ago."""
        async with self._renewing:
            if self._lane is not refusing:
                return True
            clock = asyncio.get_running_loop().time
            if clock() - self._renewed_at < EVERY:
                return False
            await asyncio.sleep(BEFORE)
            await self.open()
            self._renewed_at = clock()
            refusing.retired = True
            await refusing.close_if_spent()
            return True
