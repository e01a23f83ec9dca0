"""Messages that come on a channel, as `port.Arrived` has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiormq import Channel
from aiormq import exceptions as amqp
from aiormq.abc import AbstractChannel, DeliveredMessage

from worker_agent.link.port import Settle


@dataclass(kw_only=True, slots=True, eq=False)
class Delivery:
    """What the broker says of it; `consumer` is the tag of the one that brought it."""

    body: bytes
    headers: Mapping[str, Any]
    exchange: str | None
    routing_key: str | None
    user_id: str | None
    type: str | None
    content_type: str | None
    priority: int | None
    redelivered: bool | None
    consumer: str
    _channel: AbstractChannel
    _tag: int

    @classmethod
    def of(cls, message: DeliveredMessage) -> Delivery:
        properties = message.header.properties
        return cls(
            body=message.body,
            headers=properties.headers or {},
            exchange=message.exchange,
            routing_key=message.routing_key,
            user_id=properties.user_id,
            type=properties.message_type,
            content_type=properties.content_type,
            priority=properties.priority,
            redelivered=message.redelivered,
            consumer=message.consumer_tag or "",
            _channel=message.channel,
            _tag=message.delivery_tag or 0,
        )

    async def settle(self, how: Settle) -> None:
        """Once. Raises what the library raises when its channel is gone: then the broker has it back."""
        if self._channel.is_closed:  # aiormq before 7.2 would send it all the same, which ends the connection
            raise amqp.ChannelInvalidStateError("the channel that brought it is closed")
        if how == "ack":
            await self._channel.basic_ack(self._tag)
        elif how == "park":
            await self._channel.basic_reject(self._tag, requeue=False)
        else:  # by nack: a reject counts as a failure from RabbitMQ 4.3 on, against a limit of deliveries
            await self._channel.basic_nack(self._tag, requeue=True)


async def consume(
    channel: Channel,
    queue: str,
    came: Callable[[Delivery], Awaitable[None]],
    *,
    tag: str | None = None,
    acknowledged: bool = True,
) -> str:
    """`came` is called with each message, in a task of its own. Returns the consumer's tag: `tag`, or one that is made.

    Raises what the library raises; a refusal closes the channel.
    """

    async def read(message: DeliveredMessage) -> None:
        await came(Delivery.of(message))

    answer = await channel.basic_consume(queue, read, no_ack=not acknowledged, consumer_tag=tag)
    return str(answer.consumer_tag)
