"""What a second master's account reads of a first one's in one vhost, and what not: as docs/threat-model.md says.

Whatever it reads here is closed by a vhost of its own, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from contracts import topology
from contracts.topology import control_address
from master_bridge.link.settings import parse_url
from tests.broker.agent.conftest import OpenMaster
from tests.broker.security.conftest import SecureNode
from tests.harness import broker_state

Enroll = Callable[..., Path]
ALICE = control_address("alice", "i1", "n1")


def connection_of(secure: SecureNode, config: Path, vhost: str | None = None) -> Any:
    url = parse_url(config.read_text().strip())
    credentials = pika.PlainCredentials(url.user, url.password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", secure.node.port, vhost or url.vhost, credentials)
    )


@pytest.fixture
def second(secure: SecureNode, enroll: Enroll) -> Iterator[Any]:
    """A connection with the second master's account."""
    with connection_of(secure, enroll("m2", "--as", "master")) as connection:
        yield connection


@pytest.fixture
def admin(amqp_url: str) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        yield connection.channel()


async def test_no_way_round_leads_to_what_another_master_tells_agents(
    second: Any, admin: Any, open_master: OpenMaster
) -> None:
    """Nor to what agents tell it: exchanges between, queues that dead-letter, and names like those of its own."""
    await open_master("any")
    for attempt in (
        lambda opened: opened.exchange_declare("bb.between", "topic"),
        lambda opened: opened.exchange_declare("amq.gen-between", "fanout", durable=True),
        lambda opened: opened.exchange_delete(topology.CONTROL),
        lambda opened: opened.exchange_declare(topology.CONTROL, "topic", durable=True),
        lambda opened: opened.exchange_bind(topology.DEAD, topology.CONTROL, "#"),
        lambda opened: opened.exchange_bind(topology.DEAD, topology.CONTROL, ALICE),
        lambda opened: opened.exchange_bind(topology.DEAD, topology.REPLIES, "*.m1.claims"),
        lambda opened: opened.queue_bind(topology.DEAD_QUEUE, topology.CONTROL, "#"),
        lambda opened: opened.queue_bind(topology.DEAD_QUEUE, topology.REPLIES, "alice.m1.claims"),
    ):
        with pytest.raises(ChannelClosedByBroker, match="403"):
            attempt(second.channel())
    admin.queue_declare(ALICE, durable=False)
    for name in (ALICE, "claims.m1", "events.m1", "claims.m1.x", "events.m22"):
        for reads in (
            lambda opened, queue: opened.basic_get(queue),
            lambda opened, queue: opened.queue_declare(queue, durable=True),
            lambda opened, queue: opened.queue_delete(queue),
            lambda opened, queue: opened.queue_purge(queue),
        ):
            channel = second.channel()
            with pytest.raises(ChannelClosedByBroker, match="403"):
                reads(channel, name)


async def test_what_masters_of_one_vhost_share(second: Any, admin: Any, open_master: OpenMaster) -> None:
    """Offers, with the arguments of command offers; what is parked and dead. It may tell agents something, which follow
    only the master whose offer they took."""
    await open_master("any")
    for exchange, key, queue in (
        (topology.OFFERS, topology.cap_queue("any"), topology.cap_queue("any")),
        (topology.PARKED, topology.cap_queue("any"), topology.PARKED_QUEUE),
        (topology.DEAD, "", topology.DEAD_QUEUE),
    ):
        admin.confirm_delivery()
        admin.basic_publish(exchange, key, b"m1's")
        channel = second.channel()
        method, _, body = channel.basic_get(queue)
        assert body == b"m1's"
        channel.basic_ack(method.delivery_tag)
    second.channel().basic_publish(topology.CONTROL, ALICE, b"{}")


def test_a_vhost_of_its_own_separates(secure: SecureNode, enroll: Enroll, amqp_url: str) -> None:
    """The remedy: an account of one vhost does not get into another."""
    config = enroll("m2", "--as", "master")
    other = f"{amqp_url.rpartition('/')[2]}-other"
    broker_state.make_vhost(secure.node, other)
    try:
        with pytest.raises(AMQPConnectionError):
            connection_of(secure, config, other)
    finally:
        broker_state.delete_vhost(secure.node, other)
