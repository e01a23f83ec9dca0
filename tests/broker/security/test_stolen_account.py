"""What a worker's account cannot do, whoever has got hold of its password."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from contracts import topology
from contracts.topology import claims_key, control_address, events_key
from contracts.trust.signing import generate
from master_bridge.link.settings import parse_url
from tests.broker.agent.conftest import OpenMaster
from tests.broker.security.conftest import SecureNode
from worker_agent.program.loading import load

Enroll = Callable[..., Path]


def channel_of(secure: SecureNode, config: Path) -> Any:
    """A channel in confirm mode with the account of an enrolled worker."""
    secret = load({}, config).amqp_url
    assert secret is not None
    address = parse_url(secret.get_secret_value())
    assert address.secure
    parameters = pika.ConnectionParameters(
        "127.0.0.1", secure.node.port, address.vhost, pika.PlainCredentials(address.user, address.password)
    )
    channel = pika.BlockingConnection(parameters).channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture
async def stolen(secure: SecureNode, enroll: Enroll, open_master: OpenMaster) -> Any:
    """mallory, a worker for cap.gtk, while a master and the worker alice are there."""
    await open_master("gtk", "wx")
    alice = channel_of(secure, enroll("alice"))
    queue = control_address("alice", "i1", "n1")
    alice.queue_declare(queue, exclusive=True)
    alice.queue_bind(queue, topology.CONTROL, queue)
    return channel_of(secure, enroll("mallory", "--allow", "gtk"))


def own(channel: Any) -> str:
    """A control queue of mallory's own."""
    queue = control_address("mallory", "i2", "n2")
    channel.queue_declare(queue, exclusive=True)
    return queue


async def test_it_cannot_read_another_workers_commands(stolen: Any) -> None:
    """Neither by a binding of its own queue to the other's address, nor by one with wildcards, nor from the queue."""
    for key in (control_address("alice", "i1", "n1"), "#", "agent.#", "*.alice.*.*", "agent.*.*.*"):
        channel = stolen.connection.channel()
        channel.queue_declare(control_address("mallory", "i2", "n2"), exclusive=True)
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.queue_bind(control_address("mallory", "i2", "n2"), topology.CONTROL, key)
    channel = stolen.connection.channel()
    with pytest.raises(ChannelClosedByBroker, match=r"403|405"):
        channel.basic_get(control_address("alice", "i1", "n1"))


async def test_it_cannot_read_what_others_tell_of_themselves(stolen: Any) -> None:
    """Neither status, which names sessions and addresses, nor masters' work: of `bb.fleet` the catalogue only."""
    for key in (topology.STATUS_KEY, topology.WORK_KEY, "#", "*", "status.#", "catalogue.#"):
        channel = stolen.connection.channel()
        queue = own(channel)
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.queue_bind(queue, topology.FLEET, key)


async def test_it_cannot_take_the_masters_mail(stolen: Any) -> None:
    """Claims and events of others are read by their master only."""
    for queue in ("claims.m1", "events.m1", "parked", "dead"):
        channel = stolen.connection.channel()
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.basic_get(queue)
    for key in ("#", "*.m1.claims", "alice.m1.claims"):
        channel = stolen.connection.channel()
        queue = own(channel)
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.queue_bind(queue, topology.REPLIES, key)


@pytest.mark.parametrize("key", [claims_key("alice", "m1"), events_key("alice", "m1")], ids=["claims", "events"])
async def test_it_cannot_claim_or_report_in_another_name(stolen: Any, key: str) -> None:
    """The routing key names the account, and the topic permission pins it; a forged user id is refused, too.

    That the bridge takes an address or a session for another account's by that name, and refuses it, is tested with
    its machine (tests/unit/bridge_core/test_forged.py).
    """
    with pytest.raises(ChannelClosedByBroker, match="403"):
        stolen.basic_publish(topology.REPLIES, key, b"{}")
    channel = stolen.connection.channel()
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker, match="406"):
        channel.basic_publish(
            topology.REPLIES, key.replace("alice", "mallory"), b"{}", pika.BasicProperties(user_id="alice")
        )


async def test_a_second_master_reads_nothing_of_what_the_first_one_says_or_hears(
    secure: SecureNode, enroll: Enroll, open_master: OpenMaster
) -> None:
    """Neither the orders and commands on `bb.control`, nor its claims and events; nor does it speak for an agent."""
    await open_master("gtk")
    url = parse_url(enroll("m2", "--as", "master").read_text().strip())
    parameters = pika.ConnectionParameters(
        "127.0.0.1", secure.node.port, url.vhost, pika.PlainCredentials(url.user, url.password)
    )
    connection = pika.BlockingConnection(parameters)
    for exchange, key in (
        *(
            (topology.CONTROL, key)
            for key in ("#", topology.BROADCAST, "agent.#", control_address("alice", "i1", "n1"))
        ),
        *((topology.REPLIES, key) for key in ("#", "*.m1.claims", "*.*.events", "alice.m1.claims")),
        (topology.FLEET, "#"),
    ):
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.queue_bind(queue, exchange, key)
    for name in ("claims.m1", "events.m1"):
        channel = connection.channel()
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.basic_get(name)
    for exchange, key in (
        (topology.REPLIES, claims_key("alice", "m1")),
        (topology.REPLIES, claims_key("m2", "m1")),
        (topology.FLEET, topology.STATUS_KEY),
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.basic_publish(exchange, key, b"{}")
    connection.close()


async def test_it_cannot_publish_work_or_orders(stolen: Any) -> None:
    """No offers, no control messages, no parked offers, no catalogues, nothing through the default exchange."""
    for exchange, key in (
        (topology.OFFERS, "cap.gtk"),
        (topology.OFFERS, "cap.wx"),
        (topology.CONTROL, topology.BROADCAST),
        (topology.CONTROL, control_address("alice", "i1", "n1")),
        (topology.PARKED, ""),
        (topology.FLEET, topology.CATALOGUE_KEY),
        (topology.FLEET, topology.WORK_KEY),
        ("", "cap.gtk"),
        ("", control_address("alice", "i1", "n1")),
    ):
        channel = stolen.connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker, match="403"):
            channel.basic_publish(exchange, key, b"{}")


async def test_it_takes_work_only_from_queues_it_was_allowed(stolen: Any) -> None:
    """cap.gtk yes, cap.wx no."""
    stolen.basic_get("cap.gtk")
    with pytest.raises(ChannelClosedByBroker, match="403"):
        stolen.basic_get("cap.wx")


async def test_it_cannot_make_delete_or_empty_what_is_not_its_own(stolen: Any) -> None:
    """Queues and exchanges of the topology stay as they are."""
    attempts: list[Callable[[Any], Any]] = [
        lambda channel: channel.queue_delete("cap.gtk"),
        lambda channel: channel.queue_delete("claims.m1"),
        lambda channel: channel.queue_purge("cap.wx"),
        lambda channel: channel.queue_purge("claims.m1"),
        lambda channel: channel.queue_declare("cap.new", durable=True),
        lambda channel: channel.queue_declare("agent.mallory2.i.n", exclusive=True),
        lambda channel: channel.queue_unbind("cap.gtk", topology.OFFERS, "cap.gtk"),
        lambda channel: channel.exchange_delete(topology.OFFERS),
        lambda channel: channel.exchange_declare("bb.other", "topic"),
    ]
    for attempt in attempts:
        with pytest.raises(ChannelClosedByBroker, match="403"):
            attempt(stolen.connection.channel())


async def test_what_a_worker_needs_it_may_do(stolen: Any) -> None:
    """Its control queue with its bindings, its claims and events, its status, its dead letters."""
    queue = own(stolen)
    for exchange, key in (
        (topology.CONTROL, queue),
        (topology.CONTROL, topology.BROADCAST),
        (topology.CONTROL, topology.TELL),
        (topology.FLEET, topology.CATALOGUE_KEY),
    ):
        stolen.queue_bind(queue, exchange, key)
    for exchange, key in (
        (topology.REPLIES, claims_key("mallory", "m1")),
        (topology.REPLIES, events_key("mallory", "m1")),
        (topology.FLEET, topology.STATUS_KEY),
        (topology.DEAD, ""),
    ):
        stolen.basic_publish(exchange, key, b"{}")


def test_the_configuration_file_is_its_owners_alone(enroll: Enroll, tmp_path: Path) -> None:
    """Mode 0600, read by the agent as it is."""
    generate(tmp_path / "master")
    path = enroll("carol", "--trusted-key", str(tmp_path / "master.pub"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = load({}, path)
    assert (settings.name, settings.trusted_key) == ("carol", ((tmp_path / "master.pub").read_text(),))
