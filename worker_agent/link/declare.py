"""What an agent declares on the broker, and how it asks whether a queue exists (docs/protocol.md, "Topology")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterable
from contextlib import asynccontextmanager

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aiormq import Channel
from aiormq import exceptions as amqp

from contracts import topology
from worker_agent.link.errors import LinkError

log = structlog.get_logger(__name__)

#: Channels that ask for queues at the same time. A miss costs two round trips (the broker closes the channel).
PROBE_CHANNELS = 8


@asynccontextmanager
async def channel_of(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """A channel for one question; closed afterwards, also when the broker closed it first."""
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize()
    try:
        yield channel
    finally:
        if not channel.is_closed:
            await channel.close()


async def declare_exchanges(connection: AbstractConnection) -> None:
    """Make sure the exchanges are there.

    An account without the right to configure them is refused (403): then whoever set the account up has made them.
    Raises `LinkError` when one is there as another kind of exchange.
    """
    for exchange in topology.EXCHANGES:
        try:
            async with channel_of(connection) as channel:
                await channel.declare_exchange(exchange.name, exchange.type.value, durable=True)
        except amqp.ChannelAccessRefused:
            log.debug("exchange_not_ours_to_declare", exchange=exchange.name)
        except amqp.ChannelPreconditionFailed as error:
            raise LinkError(
                f"exchange {exchange.name!r} is there, but not as a durable {exchange.type.value} exchange ({error}): "
                "delete it, or use a vhost of its own for Buildbot"
            ) from None


async def declare_control_queue(channel: AbstractChannel, address: str) -> AbstractQueue:
    """The agent's own queue, gone with its connection, bound to its address, to broadcasts and to the catalogue.

    Raises `LinkError` when the account may not have it.
    """
    try:
        queue = await channel.declare_queue(
            # The type is named because a vhost's default type may be quorum, which no exclusive queue can be.
            address, exclusive=True, arguments={"x-queue-type": "classic"},
        )  # fmt: skip
        await queue.bind(topology.CONTROL, address)
        await queue.bind(topology.CONTROL, topology.BROADCAST)
        await queue.bind(topology.FLEET, topology.CATALOGUE_KEY)
    except amqp.ChannelAccessRefused as error:
        raise LinkError(
            f"this account may not have its control queue {address!r} ({error}): it needs configure, write and read "
            "on agent.<its name>.* and read on bb.control and bb.fleet (`master-bridge enroll` sets that)"
        ) from None
    except amqp.ChannelNotFoundEntity as error:
        raise LinkError(
            f"an exchange is missing and this account may not make it ({error}): start a master first"
        ) from None
    return queue


async def known_tags(channel: AbstractChannel) -> Container[str]:
    """The consumers of `channel` by tag, as the AMQP library has them now and later: a live view."""
    underlay = await channel.get_underlay_channel()
    if not isinstance(underlay, Channel):
        raise TypeError(f"{type(underlay).__name__} is not aiormq's channel: this aio-pika is not supported")
    return underlay.consumers


async def queue_exists(connection: AbstractConnection, name: str) -> bool:
    """Ask passively, on a throw-away channel because a "no" closes it. A queue we may not ask about is "no"."""
    try:
        async with channel_of(connection) as channel:
            await channel.declare_queue(name, passive=True)
    except (amqp.ChannelNotFoundEntity, amqp.ChannelAccessRefused):
        return False
    except amqp.ChannelLockedResource:
        return False  # somebody's exclusive queue: not one of ours
    return True


async def existing_queues(connection: AbstractConnection, names: Iterable[str]) -> frozenset[str]:
    """Those of `names` that exist now."""
    left = sorted(set(names), reverse=True)
    found: set[str] = set()

    async def ask() -> None:
        while left:
            name = left.pop()
            if await queue_exists(connection, name):
                found.add(name)

    await asyncio.gather(*(ask() for _ in range(min(PROBE_CHANNELS, len(left)))))
    return frozenset(found)
