"""Presence is a mandatory message to the agent's exclusive queue (rule 9)."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from tests.broker.topology.waiting import wait_for

pytestmark = pytest.mark.brokers

Connect = Callable[..., BlockingChannel]
ADDRESS = "agent.user.instance.nonce"
#: An agent with nothing but its control queue. Prints a line when the queue is there.
AGENT = """
import sys, pika
channel = pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel()
channel.queue_declare(sys.argv[2], exclusive=True)
channel.queue_bind(sys.argv[2], "bb.control", sys.argv[2])
print("ready", flush=True)
while True:
    channel.connection.process_data_events(1)
"""


@pytest.fixture
def bridge(connect: Connect) -> BlockingChannel:
    channel = connect()
    channel.exchange_declare("bb.control", "topic", durable=True)
    channel.confirm_delivery()
    return channel


@pytest.fixture
def agent(amqp_url: str, bridge: BlockingChannel) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", AGENT, amqp_url, ADDRESS], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def ping_returns(bridge: BlockingChannel) -> bool:
    try:
        bridge.basic_publish("bb.control", ADDRESS, b"ping", mandatory=True)
    except UnroutableError:
        return True
    return False


def test_a_ping_to_a_living_agent_does_not_come_back(bridge: BlockingChannel, agent: subprocess.Popen[str]) -> None:
    assert not ping_returns(bridge)


def test_a_ping_comes_back_once_the_agent_was_killed(bridge: BlockingChannel, agent: subprocess.Popen[str]) -> None:
    """Its exclusive queue goes with its connection, without waiting for heartbeats."""
    agent.send_signal(signal.SIGKILL)
    wait_for(lambda: ping_returns(bridge), "a ping to come back")


def test_a_ping_to_an_agent_that_was_never_there_comes_back(bridge: BlockingChannel) -> None:
    assert ping_returns(bridge)


def test_nobody_else_can_read_an_agents_control_queue(connect: Connect, agent: subprocess.Popen[str]) -> None:
    """An exclusive queue refuses other connections of whatever user with 405."""
    with pytest.raises(ChannelClosedByBroker) as refused:
        connect().basic_consume(ADDRESS, lambda *_: None)
    assert refused.value.reply_code == 405
