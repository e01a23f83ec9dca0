"""Channels on an agent's connection: aiormq's own.

Of each channel of aio-pika's, however it is closed, the connection remembers a callback, with 32 objects, for as long
as it lives: aio-pika (9.6) takes it off another future than it put it on. An agent opens one for each round of
questions, and where a broker refuses a message or closes the channel of its offers, for months.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq import exceptions as amqp


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> Channel:
    """With `confirms`, a message that no queue takes raises where it was published. Raises what the library raises."""
    transport = connection.transport
    if transport is None:
        raise amqp.ConnectionClosed(0, "the connection is not there")
    channel = await transport.connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
    if not isinstance(channel, Channel):
        raise TypeError(f"{type(channel).__name__} is not aiormq's channel: this aio-pika is not supported")
    return channel


@asynccontextmanager
async def channel_of(connection: AbstractConnection, *, confirms: bool = False) -> AsyncIterator[Channel]:
    """A channel for a question, or for some; closed afterwards, also when the broker closed it first."""
    channel = await open_channel(connection, confirms=confirms)
    try:
        yield channel
    finally:
        if not channel.is_closed:
            await channel.close()


def when_closed(channel: Channel, tell: Callable[[BaseException | None], None]) -> None:
    """Have `tell` called once it is closed, by whomever, or its connection: with the error that says why."""

    def closed(closing: Future[object]) -> None:
        tell(None if closing.cancelled() else closing.exception())

    channel.closing.add_done_callback(closed)
