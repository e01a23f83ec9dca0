"""How often an agent asks its broker in vain, counted in the broker's own log; and how soon it works all the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
import pytest

from contracts import topology
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.agent.conftest import AgentProcess, OpenMaster, StartAgent
from tests.broker.agent.scripted_master import until
from tests.harness import broker_state
from worker_agent.agent.queues import MISSES

pytestmark = pytest.mark.brokers

#: More than any agent may ask for in vain.
ABLE = [flag for number in range(60) for flag in ("--capability", f"tool{number}=1.{number}")]


def channel_errors(node: RabbitMQNode, vhost: str) -> int:
    """Failed operations on this vhost, as the broker has written them down."""
    lines = node.log_tail(1_000_000).splitlines()
    return sum("Channel error on connection" in line and f"vhost: '{vhost}'" in line for line in lines)


def links(agent: AgentProcess) -> int:
    return agent.log.count("link_up")


@pytest.mark.parametrize("able", [ABLE, ["--capability", "gtk"], []], ids=["much", "one", "nothing"])
async def test_without_a_master(
    node: RabbitMQNode,
    make_vhost: Callable[[], str],
    start_agent: StartAgent,
    open_master: OpenMaster,
    able: list[str],
) -> None:
    """A handful of failures, also when its link breaks and its vhost is deleted; the first catalogue is enough."""
    vhost = make_vhost()
    url = node.vhost_url(vhost)
    signature = "tool59>=1" if able is ABLE else "gtk" if able else "any"
    agent = start_agent("agent", *able, url=url)
    await until(lambda: links(agent) == 1, "the first link")
    for number in itertools.count(2):
        if number == 4:
            break
        broker_state.close_connections(node, vhost)
        await until(partial(_linked, agent, number), "another link")
    master = await open_master(url=url)  # says nothing yet; status comes every 5 s
    await master.status(lambda status: bool(status.agent))
    assert channel_errors(node, vhost) <= MISSES

    await master.declare(signature)
    await master.catalogue(signature)
    await master.wait_for_consumers(signature, 1, timeout=20)
    assert channel_errors(node, vhost) <= MISSES


async def test_a_vhost_made_anew(
    node: RabbitMQNode, make_vhost: Callable[[], str], start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """Its master is back with the very catalogue that it had: the agent works as soon as it hears it."""
    vhost = make_vhost()
    url = node.vhost_url(vhost)
    signatures = ("any", "gtk", *(f"gtk>={number}" for number in range(20)))
    before = await open_master(*signatures, url=url)
    agent = start_agent("agent", "--capability", "gtk=99", url=url)
    await before.status(lambda status: bool(status.agent))
    await before.catalogue(*signatures)
    await before.status(lambda status: len(status.queues) == len(signatures))
    failed = channel_errors(node, vhost)

    linked = links(agent)
    broker_state.delete_vhost(node, vhost)
    broker_state.make_vhost(node, vhost)
    await until(lambda: links(agent) > linked, "a link to the new vhost")
    after = await open_master(url=url)
    await after.status(lambda status: not status.queues)
    assert channel_errors(node, vhost) - failed <= MISSES
    for signature in signatures:
        await after.declare(signature)
    await after.catalogue(*signatures)
    for signature in ("any", "gtk", "gtk>=19"):
        await after.wait_for_consumers(signature, 1, timeout=20)  # it was 53 s


async def test_what_somebody_deletes_is_there_again(
    node: RabbitMQNode, make_vhost: Callable[[], str], start_agent: StartAgent
) -> None:
    """All exchanges, and so the bindings of the agent's own queue, while no master is there."""
    vhost = make_vhost()
    url = node.vhost_url(vhost)
    agent = start_agent("agent", url=url)
    await until(lambda: links(agent) == 1, "the link")
    keys = ((topology.CONTROL, topology.BROADCAST), (topology.FLEET, topology.CATALOGUE_KEY))

    def heard() -> bool:
        """What is said to all and in catalogues reaches the agent's queue."""
        return all(_routed(url, exchange, key) for exchange, key in keys)

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        await until(heard, "both are routed")
        channel = connection.channel()
        for exchange in topology.EXCHANGES:
            channel.exchange_delete(exchange.name)
        assert not heard()
        await until(heard, "exchanges and bindings are there again", 90)
        for exchange in topology.EXCHANGES:
            connection.channel().exchange_declare(exchange.name, passive=True)


def _routed(url: str, exchange: str, key: str) -> bool:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, b"{}", mandatory=True)
    except (pika.exceptions.UnroutableError, pika.exceptions.ChannelClosedByBroker):
        return False
    finally:
        connection.close()
    return True


def _linked(agent: Any, number: int) -> bool:
    return links(agent) >= number
