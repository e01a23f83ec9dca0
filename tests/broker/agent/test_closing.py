"""What an agent's link starts does not outlive it: no connection that is still being opened, no task, no input.

And what it declared does not go before it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import typing
from collections.abc import Iterator

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from contracts import topology
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.topology import cap_queue
from tests.broker.agent.conftest import OpenMaster
from tests.broker.agent.scripted_master import until
from tests.broker.gate import Gate
from tests.broker.remembered import remembered
from tests.harness import broker_state
from worker_agent.core.inputs import Input, LinkDown, LinkUp
from worker_agent.link.amqp import connected
from worker_agent.link.amqp.channels import channel_of, open_channel
from worker_agent.link.amqp.declare import Declared
from worker_agent.link.amqp.delivery import Delivery, consume
from worker_agent.link.errors import LIBRARY_ERRORS
from worker_agent.link.link import Link
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import LinkListener, Settle


class RunningLink:
    def __init__(self, url: str) -> None:
        self.inputs: list[Input] = []
        self.gone: list[str] = []
        self.before = asyncio.all_tasks()
        self.link = Link(
            (LinkOptions(url=url, name="agent", reconnect_max=0.5),),
            instance="i", agent="agent", next_epoch=itertools.count(1).__next__,
            listener=LinkListener(
                on_input=self.inputs.append, queue_gone=self.gone.append, sent_to_dead=lambda: None, asked=lambda: None
            ),
        )  # fmt: skip
        self.task = asyncio.create_task(self.link.run())

    async def up(self) -> None:
        await until(lambda: any(isinstance(each, LinkUp) for each in self.inputs), "the link")
        self.link.enter()

    async def end(self) -> None:
        """As `Agent` ends it: cancelled, and cancelled again as long as it lasts."""
        while not self.task.done():
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=0.01)

    def left(self) -> set[asyncio.Task[object]]:
        return asyncio.all_tasks() - self.before - {self.task}


@pytest.fixture
def gate(node: RabbitMQNode, request: pytest.FixtureRequest) -> Iterator[Gate]:
    with Gate(node.port, request.param) as made:
        yield made


def connections(node: RabbitMQNode, vhost: str) -> int:
    return len(broker_state.connections(node, vhost))


@pytest.mark.parametrize("gate", [1], indirect=True)
async def test_a_link_that_is_ended_while_it_opens_leaves_nothing(
    gate: Gate, node: RabbitMQNode, amqp_url: str
) -> None:
    """Its connection is under way: it is not there afterwards, and no task is."""
    running = RunningLink(gate.url(amqp_url))
    await until(lambda: gate.holds, "the connection to be held")
    await running.end()
    gate.release()
    await until(lambda: not gate._pairs, "the held connection to be given up")
    await until(lambda: not running.left(), "no task")
    assert connections(node, amqp_url.rpartition("/")[2]) == 0
    assert running.inputs == []


@pytest.mark.parametrize("gate", [1], indirect=True)
async def test_a_connection_is_reset_while_it_opens(gate: Gate, node: RabbitMQNode, amqp_url: str) -> None:
    """The link begins anew, with one connection and not two."""
    running = RunningLink(gate.url(amqp_url))
    await until(lambda: gate.holds, "the connection to be held")
    gate.reset()
    gate.release()
    await running.up()
    await until(lambda: connections(node, amqp_url.rpartition("/")[2]) == 1, "one connection")
    await running.end()


async def test_an_ended_link_says_goodbye_and_is_silent(open_master: OpenMaster, own_node: RabbitMQNode) -> None:
    """However often it is cancelled meanwhile: no complaint of the broker's, no input afterwards, no task."""
    master = await open_master("any", url=own_node.url)
    running = RunningLink(own_node.url)
    await running.up()
    running.link.consume((cap_queue("any"),))
    await master.wait_for_consumers("any", 1)
    await master.offer()
    await until(lambda: len(running.inputs) == 2, "the offer")
    await running.end()
    inputs = list(running.inputs)
    await until(lambda: not running.left(), "no task")
    await master.wait_for_messages("cap.any", 1)
    assert running.inputs == inputs
    ended = re.compile(r"closing AMQP connection .*- agent\b.*(?:\n.*unexpectedly.*)?")
    await until(lambda: len(ended.findall(own_node.log_tail(2000))) == 1, "its end in the broker's log")
    assert "unexpectedly" not in "".join(ended.findall(own_node.log_tail(2000)))


@pytest.mark.parametrize("gate", [0], indirect=True)
async def test_a_broker_that_does_not_answer_a_goodbye_is_not_waited_for(gate: Gate, amqp_url: str) -> None:
    """It stands still: the link ends all the same, and its sockets are closed."""
    running = RunningLink(gate.url(amqp_url))
    await running.up()
    gate.freeze()
    await running.end()
    await until(lambda: not running.left(), "no task")
    gate.heal()
    await until(lambda: not gate._pairs, "the connections to be closed")


async def test_questions_about_queues_that_are_missing_leave_nothing(amqp_url: str) -> None:
    """An agent asks thousands of them while its connection lives: nothing of any is remembered."""
    running = RunningLink(amqp_url)
    await running.up()

    async def ask(number: int) -> None:
        found = await running.link.existing([cap_queue(f"missing{number}")])
        assert found == {cap_queue(f"missing{number}"): False}

    await ask(0)
    before = remembered()
    for number in range(1, 40):
        await ask(number)
    assert remembered() < before + 20
    await running.end()


async def test_channels_that_the_broker_closes_leave_nothing(amqp_url: str) -> None:
    """That of the offers, whenever a queue is gone before it is consumed."""
    running = RunningLink(amqp_url)
    await running.up()

    async def consume(times: int) -> None:
        for _ in range(times):
            running.gone.clear()
            running.link.consume((cap_queue("missing"),))
            await until(lambda: running.gone, "word of the missing queue")

    await consume(2)
    before = remembered()
    await consume(20)
    assert remembered() < before + 20
    await running.end()


async def test_what_a_closed_channel_brought_is_not_settled(amqp_url: str) -> None:
    """The broker would close the connection for it, and with it all that the agent has."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel, came = await open_channel(connection), list[Delivery]()
        await channel.queue_declare("q", exclusive=True)

        async def note(message: Delivery) -> None:
            came.append(message)

        await consume(channel, "q", note)
        async with channel_of(connection) as publishing:
            await publishing.basic_publish(b"x", routing_key="q")
        await until(lambda: came, "the message")
        await channel.close()
        for how in typing.get_args(Settle):
            with pytest.raises(LIBRARY_ERRORS):
                await came[0].settle(how)
        async with channel_of(connection) as asking:
            again = await asking.basic_get("q", no_ack=True)
        assert again.body == b"x"
        assert not connection.is_closed


async def test_looking_after_what_is_declared_leaves_nothing(amqp_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent does it each 40 s for months: each left 32 objects in its memory."""
    monkeypatch.setattr(connected, "RESTORE_EVERY", 0.01)
    rounds = []
    again = Declared.again

    async def counted(declared: Declared, connection: AbstractConnection, address: str) -> None:
        await again(declared, connection, address)
        rounds.append(1)

    monkeypatch.setattr(Declared, "again", counted)
    running = RunningLink(amqp_url)
    await running.up()
    await until(lambda: len(rounds) > 2, "the first rounds")
    before = remembered()
    await until(lambda: len(rounds) > 30, "some more")
    assert remembered() < before + 20
    await running.end()


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
