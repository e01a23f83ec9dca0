"""What the broker refuses is published once more, on a channel of its own: a no may be the old channel's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractConnection, AbstractQueue
from aiormq.exceptions import DeliveryError

from contracts import topology
from tests.broker.agent.scripted_master import until
from tests.broker.remembered import remembered
from worker_agent.link.amqp import outlet
from worker_agent.link.amqp.delivery import Delivery, consume
from worker_agent.link.amqp.outlet import Outlet

KEY = "guest.m1.events"


class Bench:
    """An outlet on a queue that has room for one message."""

    def __init__(self, connection: AbstractConnection, queue: AbstractQueue) -> None:
        self.queue = queue
        self.lost: list[BaseException | None] = []
        self.outlet = Outlet(connection, self.lost.append)

    async def publish(self) -> None:
        await self.outlet.publish(topology.REPLIES, Message(b"x"), KEY, mandatory=True)

    @property
    def channel(self) -> object:
        return self.outlet._lane.channel

    @property
    def refused(self) -> bool:
        """The broker has said no, and another channel is not there yet."""
        return self.outlet._renewing.locked()


@pytest.fixture
async def bench(amqp_url: str) -> AsyncIterator[Bench]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel()
        for exchange in topology.EXCHANGES:
            await channel.declare_exchange(exchange.name, exchange.type.value, durable=True)
        queue = await channel.declare_queue(
            "events.m1", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )
        await queue.bind(topology.REPLIES, KEY)
        made = Bench(connection, queue)
        await made.outlet.open()
        yield made


async def test_what_was_refused_is_published_again_on_another_channel(bench: Bench) -> None:
    """The caller hears of a yes only; the old channel is closed when its last answer is there, and that is no loss."""
    await bench.publish()
    before = bench.channel
    second = asyncio.create_task(bench.publish())
    await until(lambda: bench.refused, "the broker's no")
    assert await bench.queue.get(no_ack=True) is not None
    await second
    assert bench.channel is not before
    assert before.is_closed  # type: ignore[attr-defined]
    assert bench.lost == []


async def test_a_queue_that_is_full_says_no_in_the_end(bench: Bench) -> None:
    """One new channel for all that was refused, and no other within some seconds."""
    await bench.publish()
    answers = await asyncio.gather(*(bench.publish() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, DeliveryError) for answer in answers)
    channel = bench.channel
    with pytest.raises(DeliveryError):
        await bench.publish()
    assert bench.channel is channel
    assert bench.lost == []


async def test_a_queue_that_stays_full_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be full for days, in which an agent opens a channel each 5 s."""
    monkeypatch.setattr(outlet, "BEFORE", 0.0)
    monkeypatch.setattr(outlet, "EVERY", 0.0)

    async def refused(times: int) -> None:
        for _ in range(times):
            channel = bench.channel
            with pytest.raises(DeliveryError):
                await bench.publish()
            assert bench.channel is not channel

    await bench.publish()
    await refused(2)
    before = remembered()
    await refused(20)
    assert remembered() < before + 20


async def test_an_unroutable_message_is_refused_at_once(bench: Bench) -> None:
    """It came back: another channel would find no queue either."""
    channel = bench.channel
    with pytest.raises(DeliveryError):
        await bench.outlet.publish(topology.REPLIES, Message(b"x"), "guest.nobody.events", mandatory=True)
    assert bench.channel is channel


async def test_a_channel_that_is_consumed_on_stays_open(bench: Bench) -> None:
    """Another one takes its place for publications: its consumer, that of the control queue, goes on."""
    consumed = bench.outlet.consumed()
    own = str((await consumed.queue_declare("", exclusive=True)).queue)
    heard: list[bytes] = []

    async def hear(message: Delivery) -> None:
        heard.append(message.body)

    await consume(consumed, own, hear, acknowledged=False)
    await bench.publish()
    second = asyncio.create_task(bench.publish())
    await until(lambda: bench.refused, "the broker's no")
    assert await bench.queue.get(no_ack=True) is not None
    await second
    assert bench.channel is not consumed
    assert not consumed.is_closed
    await consumed.basic_publish(b"to the old channel", routing_key=own)
    await until(lambda: heard, "what is said to the agent")
    assert bench.lost == []


@pytest.mark.brokers
async def test_it_asks_on_the_channel_that_it_publishes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another channel answers while this one still holds confirms back, because it has much to deliver."""
    asked: list[str] = []
    channel = bench.outlet._lane.channel
    rpc = channel.rpc

    async def noted(frame: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(frame.name)
        return await rpc(frame, *arguments, **more)

    monkeypatch.setattr(channel, "rpc", noted)
    await bench.publish()
    await bench.outlet.ask()
    assert asked == ["Channel.Flow"]
    assert await bench.queue.get(no_ack=True) is not None
    await bench.publish()  # as before
