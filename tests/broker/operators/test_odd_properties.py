"""Properties that no client writes, as any account can send them: nothing ends, no link is lost, each is settled."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pika
import pytest

from contracts import topology
from contracts.codec import encode
from contracts.messages import Claim, Grant, Offer, Steer
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import until
from tests.broker.bridge.conftest import RunningLink
from tests.broker.operators.conftest import RunCommand
from tests.harness.raw_properties import RawProperties, field, hostile, text

pytestmark = pytest.mark.brokers

#: The broker itself refuses these.
REFUSED = ("NaN", "an infinity")
ODD = {name: properties for name, properties in hostile(b"guest").items() if not name.endswith(REFUSED)}


class RawKey(str):
    """A routing key that is no UTF-8, as a queue's owner may choose it for dead messages."""

    def encode(self, *_: Any) -> bytes:
        return self.encode_as

    encode_as = b"\xff.m1.claims"


def in_dead(channel: Any) -> int:
    count: int = channel.queue_declare(topology.DEAD_QUEUE, passive=True).method.message_count
    return count


async def test_no_property_costs_a_master_its_link_or_an_operator_the_list(
    amqp_url: str, make_link: Callable[..., RunningLink], master_bridge: RunCommand
) -> None:
    """In claims, events and the fleet; in `dead`, where operators list, show and drop them."""
    link = make_link()
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        places = [(topology.REPLIES, "guest.m1.claims"), (topology.REPLIES, "guest.m1.events"),
                  (topology.FLEET, topology.STATUS_KEY), (topology.REPLIES, RawKey())]  # fmt: skip
        for properties in ODD.values():
            for exchange, key in places:
                channel.basic_publish(exchange, key, b"{}", properties)

        def settled() -> bool:
            connection.process_data_events(0)
            return bool(link.client.named("down")) or in_dead(channel) >= len(ODD) * len(places)

        await until(settled, "all of them in `dead`", 120)
        assert not link.client.named("down")
        assert not link.client.named("message")
        channel.queue_purge(topology.DEAD_QUEUE)
        for properties in ODD.values():
            channel.basic_publish(topology.DEAD, RawKey(), b"[" * 2000, properties)
        await until(lambda: in_dead(channel) == len(ODD), "all of them there")
    messages = json.loads((await master_bridge("dead", "list", "--json")).output)
    assert len(messages) == len(ODD)
    listed = await master_bridge("dead", "list")
    shown = await master_bridge("dead", "show", *{message["id"] for message in messages})
    for result in (listed, shown):
        assert all(line.isprintable() for line in result.output.split("\n"))
    await master_bridge("dead", "requeue", "--all", expect=1)
    assert (await master_bridge("dead", "drop", "--all")).output == f"{len(ODD)} dropped\n"


async def test_no_property_makes_an_agent_deaf(
    amqp_url: str, open_master: OpenMaster, start_agent: StartAgent, master_bridge: RunCommand
) -> None:
    """To its own queue, to all of them and to its offers: it claims the next offer, at the address that it had."""
    master = await open_master("any")
    agent = start_agent("agent")
    await master.wait_for_consumers("any", 1)
    address = (await master.status(lambda status: bool(status.address))).address
    grant = encode(Grant(session="s-0", master="m1", incarnation="i", run=1, ticket="t", stored=0)).body
    deaths = RawProperties(field(b"x-death", text(b"\xff")), user_id=b"guest")
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for properties in (*ODD.values(), deaths):
            for exchange, key in (
                (topology.OFFERS, topology.cap_queue("any")), (topology.CONTROL, address),
                (topology.CONTROL, topology.BROADCAST), (topology.FLEET, topology.CATALOGUE_KEY),
            ):  # fmt: skip
                channel.basic_publish(exchange, key, grant, properties)
        offer = Offer(
            offer="o-good", request="br-1", master="m1", user="guest", ticket="t", run=1, signature="any", kind="build",
            published=1.0, builddir="b",
        )  # fmt: skip
        channel.basic_publish(
            topology.OFFERS, topology.cap_queue("any"), encode(offer).body, pika.BasicProperties(user_id="guest")
        )
        claim = await master.wait_for(Claim, timeout=180)
        assert (claim.offer, claim.address) == ("o-good", address), "it was connected all the time"
        stop = pika.BasicProperties(user_id="guest")
        channel.basic_publish(topology.CONTROL, address, encode(Steer(order="stop")).body, stop)
    await until(lambda: not agent.child.running, "the agent to obey")
    for line in ("link_part_failed", "part_failed", "unhandled_error", "Traceback", "not_handled"):
        assert line not in agent.log
