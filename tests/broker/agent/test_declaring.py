"""What an agent declared is there again within a minute of its being deleted, and its link does not end for it."""

from __future__ import annotations

import time

import aio_pika
import pytest

from contracts import topology
from tests.broker.agent.test_closing import RunningLink
from worker_agent.core.inputs import LinkDown
from worker_agent.link.amqp import connected


async def test_a_deleted_exchange_and_its_bindings_come_back(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's queue is reached by its address, by `all` and by `tell` as before."""
    monkeypatch.setattr(connected, "RESTORE_EVERY", 0.2)
    running = RunningLink(amqp_url)
    await running.up()
    async with await aio_pika.connect(amqp_url) as connection:

        async def reached(key: str) -> bool:
            channel = await connection.channel(on_return_raises=True)
            try:
                exchange = await channel.get_exchange(topology.CONTROL, ensure=False)
                await exchange.publish(aio_pika.Message(b"no message"), key)
            except (aio_pika.exceptions.PublishError, aio_pika.exceptions.ChannelClosed):
                return False
            finally:
                if not channel.is_closed:
                    await channel.close()
            return True

        channel = await connection.channel()
        await channel.exchange_delete(topology.CONTROL)
        for key in (running.link.address, topology.BROADCAST, topology.TELL):
            deadline = time.monotonic() + 60
            while not await reached(key):
                assert time.monotonic() < deadline, f"the agent's queue is not bound with {key} again"
    assert not any(isinstance(each, LinkDown) for each in running.inputs)
    await running.end()
