"""What anybody may put into `dead`, or say to the fleet and to a master: nothing ends, and no terminal is steered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pika
import pytest

from contracts import topology
from contracts.codec import encode
from contracts.messages import SlotStatus, Status, Work, WorkView
from tests.broker.agent.conftest import OpenMaster
from tests.broker.agent.scripted_master import until
from tests.broker.bridge.conftest import RunningLink
from tests.broker.operators.conftest import RunCommand

TEXT = "\x1b]52;c;eA==\x07\u202e[/x]"


class Far(datetime):
    """A time that AMQP carries, and pika sends, and no `datetime` can be."""

    def utctimetuple(self) -> Any:
        return (1970, 1, 1, 2**61 // 3600, 0, 0)


#: Headers that pika cannot read. (RabbitMQ refuses NaN and infinities by itself.)
UNREADABLE: tuple[Any, ...] = (Far(2000, 1, 1), [Far(2000, 1, 1)], {"a": Far(2000, 1, 1)})


class Sender:
    def __init__(self, url: str) -> None:
        self.channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
        self.channel.confirm_delivery()

    def say(self, exchange: str, key: str, body: bytes, **properties: Any) -> None:
        self.channel.basic_publish(exchange, key, body, pika.BasicProperties(user_id="guest", **properties))


async def test_operators_commands_survive_a_hostile_fleet(open_master: OpenMaster, master_bridge: RunCommand) -> None:
    """Letters and statuses with escapes, markup, 4,000 slots, times of no clock, and headers that pika cannot read."""
    master = await open_master("any")
    sender = Sender(master.url)
    for value in UNREADABLE:
        sender.say(topology.DEAD, "", b"{}", headers={"x": value})
    odd = {topology.DEAD_REASON_HEADER: TEXT, topology.DEAD_QUEUE_HEADER: TEXT, topology.DEAD_AGENT_HEADER: 2**62}
    sender.say(topology.DEAD, TEXT, b'["' + TEXT.encode() + b'"]', headers=odd, type=TEXT)
    sender.say(topology.DEAD, "", b"[" * 50_000, timestamp=2**62, headers=odd)
    await master.wait_for_messages("dead", len(UNREADABLE) + 2)
    listed = await master_bridge("dead", "list")
    messages = json.loads((await master_bridge("dead", "list", "--json")).output)
    shown = await master_bridge("dead", "show", *(message["id"] for message in messages))

    slots = (SlotStatus(state="held", title=TEXT, master=TEXT, since=1e300),) * 4_000
    status = Status(
        instance="i-1", agent=TEXT, epoch=1, address="agent.guest.i.n", version=TEXT, now=2.0**62, state="paused",
        reasons=(TEXT,), slots=slots, capabilities=(), queues=(f"cap.{TEXT}", "cap." + "x" * 300),
    )  # fmt: skip
    view = WorkView(request="br-1", title=TEXT, signature=">=", state="waiting", since=-1e300)
    work = Work(master="m1", incarnation="i", now=1e300, requests=(view,))

    results = [listed, shown]
    for command in (("fleet", "--once"), ("fleet", "--json"), ("queues",), ("why", "br-1")):
        task = asyncio.ensure_future(master_bridge(*command))
        while not task.done():
            sender.say(topology.FLEET, topology.STATUS_KEY, encode(status).body)
            sender.say(topology.FLEET, topology.STATUS_KEY, b"{}", headers={"x": UNREADABLE[0]})
            sender.say(topology.FLEET, topology.WORK_KEY, encode(work).body)
            await asyncio.sleep(0.2)
        results.append(task.result())
    for result in results:
        assert all(line.isprintable() for line in result.output.split("\n")), result.output[:500]
        assert len(result.output) < 5_000_000
    assert "[/x]" in results[2].output


@pytest.mark.long  # with `make test` odd properties of any kind do not cost a master its link (test_odd_properties.py)
async def test_headers_that_pika_cannot_read_do_not_cost_a_masters_link(
    amqp_url: str, make_link: Callable[..., RunningLink]
) -> None:
    """They go to `dead`, not believed, and the link is the same one."""
    link = make_link()
    sender = Sender(amqp_url)
    for value in UNREADABLE:
        sender.say(topology.REPLIES, "guest.m1.claims", b"{}", headers={"x": value})
        sender.say(topology.FLEET, topology.STATUS_KEY, b"{}", headers={"x": value})

    def buried() -> bool:
        found = sender.channel.queue_declare(topology.DEAD_QUEUE, passive=True).method.message_count
        return bool(found == 2 * len(UNREADABLE) or link.client.named("down"))

    await until(buried, "all of them in `dead`")
    assert not link.client.named("down")
