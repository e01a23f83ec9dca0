"""What an agent declares on the broker, and how it asks whether a queue exists (docs/protocol.md, "Topology")."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import Channel
from aiormq import exceptions as amqp
from pamqp.commands import Basic

from contracts import topology
from contracts.operations.broker_failure import plain
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.rabbitmq.product import Product, introduced
from contracts.rabbitmq.refusals import PRECONDITION_FAILED, refusal
from worker_agent.link.amqp.channels import channel_of
from worker_agent.link.errors import LinkError

log = structlog.get_logger(__name__)

#: Channels that ask for queues at the same time. A miss costs two round trips (the broker closes the channel).
PROBE_CHANNELS = 8


class Declared:
    """Makes sure of the exchanges, on each link anew and while it lives; knows what this account may not declare."""

    def __init__(self) -> None:
        self._ours = True

    async def exchanges(self, connection: AbstractConnection) -> None:
        """Make those that are not there.

        An account without the right to is refused once (403) and does not ask again: then a master makes them. Raises
        `LinkError` when one is there as another kind of exchange.
        """
        if not self._ours:
            return
        try:
            async with channel_of(connection) as channel:
                await _declare_exchanges(channel)
        except amqp.ChannelAccessRefused as error:
            self._not_ours(error)
        except amqp.ChannelPreconditionFailed as error:
            raise LinkError(str(refusal(PRECONDITION_FAILED, str(error)))) from None

    async def again(self, connection: AbstractConnection, address: str) -> None:
        """What somebody deleted: the exchanges, and the bindings of the agent's queue, which went with one.

        On one channel: thousands of agents ask this all the time, and opening one costs a broker as much as four of the
        questions. Raises `LinkError` while an exchange is missing, and that of `exchanges`.
        """
        try:
            async with channel_of(connection) as channel:
                if self._ours:
                    await _declare_exchanges(channel)
                await _bind(channel, address)
        except amqp.ChannelAccessRefused as error:
            if not self._ours:
                raise
            self._not_ours(error)  # the bindings next time
        except amqp.ChannelPreconditionFailed as error:
            raise LinkError(str(refusal(PRECONDITION_FAILED, str(error)))) from None
        except amqp.ChannelNotFoundEntity as error:
            raise LinkError(f"somebody deleted an exchange or this agent's queue ({error})") from None

    def _not_ours(self, error: Exception) -> None:
        self._ours = False
        log.debug("exchanges_not_declared", reason=str(error))


async def _declare_exchanges(channel: Channel) -> None:
    for exchange in topology.EXCHANGES:
        await channel.exchange_declare(exchange.name, exchange_type=exchange.type.value, durable=True)


async def declare_control_queue(channel: Channel, address: str) -> None:
    """The agent's own queue, gone with its connection, bound to its address, to broadcasts and to the catalogue.

    Raises `LinkError` when the account may not have it.
    """
    try:
        await channel.queue_declare(address, exclusive=True, arguments=arguments(Kind.CONTROL, version=()))
        await _bind(channel, address)
    except amqp.ChannelAccessRefused as error:
        raise LinkError(
            f"this account may not have its control queue ({plain(error)}): it needs configure, write and read "
            "on agent.<its name>.* and read on bb.control and bb.fleet (`master-bridge enroll` sets that)"
        ) from None
    except amqp.ChannelNotFoundEntity as error:
        raise LinkError(
            f"an exchange is missing and this account may not make it ({plain(error)}): start a master first"
        ) from None


async def _bind(channel: Channel, address: str) -> None:
    """The agent's own queue has its address as its name."""
    await channel.queue_bind(address, topology.CONTROL, routing_key=address)
    await channel.queue_bind(address, topology.CONTROL, routing_key=topology.BROADCAST)
    await channel.queue_bind(address, topology.CONTROL, routing_key=topology.TELL)
    await channel.queue_bind(address, topology.FLEET, routing_key=topology.CATALOGUE_KEY)


async def publish_nothing(connection: AbstractConnection, exchange: str, key: str, *, user: str) -> None:
    """An empty message of this user's, confirmed. Raises what the library raises where the account may not publish."""
    async with channel_of(connection, confirms=True) as channel:
        await channel.basic_publish(b"", exchange=exchange, routing_key=key, properties=Basic.Properties(user_id=user))


def product_of(connection: AbstractConnection) -> Product:
    """Which broker this is."""
    return introduced(connection.transport.connection.server_properties if connection.transport else None)


async def existing_queues(
    connection: AbstractConnection, names: Iterable[str], misses: int | None = None
) -> dict[str, bool]:
    """Which of `names` exist, asked in that order; after `misses` that do not, no more are asked.

    A queue that we may not ask about, or that is somebody's own, counts as missing: it is none of ours.
    """
    left = list(dict.fromkeys(names))[::-1]
    answers: dict[str, bool] = {}

    async def ask() -> None:
        while left and not _enough(answers, misses):
            try:
                async with channel_of(connection) as channel:  # a miss closes it
                    while left and not _enough(answers, misses):
                        name = left.pop()
                        answers[name] = False
                        await channel.queue_declare(name, passive=True)
                        answers[name] = True
            except (amqp.ChannelNotFoundEntity, amqp.ChannelAccessRefused, amqp.ChannelLockedResource):
                continue

    await asyncio.gather(*(ask() for _ in range(min(PROBE_CHANNELS, misses or PROBE_CHANNELS, len(left)))))
    return answers


def _enough(answers: dict[str, bool], misses: int | None) -> bool:
    """What is under way counts as a miss, so that there are never more."""
    return misses is not None and sum(not there for there in answers.values()) >= misses


async def queue_exists(connection: AbstractConnection, name: str) -> bool:
    """Asks the broker passively. Raises what aio-pika does where the connection breaks."""
    return (await existing_queues(connection, [name]))[name]
