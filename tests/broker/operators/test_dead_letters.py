"""`master-bridge dead`: list, show, requeue and drop, with nothing lost on the way."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pika

from contracts import topology
from contracts.codec import encode
from contracts.messages import Accept, Claim, Command, Event, Offer, Start
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell
from tests.broker.operators.conftest import RunCommand


def send_to_dead(url: str, body: bytes, *, reason: str, queue: str, key: str = "", headers: Any = None) -> None:
    """As an agent does with what it cannot read."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    headers = (headers or {}) | {topology.DEAD_REASON_HEADER: reason, topology.DEAD_QUEUE_HEADER: queue}
    properties = pika.BasicProperties(headers=headers, delivery_mode=2)
    connection.channel().basic_publish(topology.DEAD, key, body, properties)
    connection.close()


async def test_dead_letters_are_listed_shown_sent_again_and_dropped(
    amqp_url: str, open_master: OpenMaster, master_bridge: RunCommand
) -> None:
    """Five messages: two are sent again as they are, one is dropped, two are no offers and stay."""
    master = await open_master("any")
    offer = await master.offer()
    await master.wait_for_messages("cap.any", 1)
    for number in (1, 2):
        text = offer.model_copy(update={"offer": f"o-{number}"}).model_dump_json()
        send_to_dead(amqp_url, text.encode(), reason="lost three agents", queue="cap.any")
    send_to_dead(amqp_url, b"\x00\xff", reason="not JSON", queue="cap.any")
    send_to_dead(amqp_url, b"{}", reason="no type", queue="claims.m1", key="guest.m1.claims")
    send_to_dead(amqp_url, b"{}", reason="no type", queue="agent.guest.i.n")
    await master.wait_for_messages("dead", 5)

    listed = json.loads((await master_bridge("dead", "list", "--json")).output)
    assert [message["reason"] for message in listed] == ["lost three agents"] * 2 + ["not JSON", "no type", "no type"]
    assert "not JSON" in (await master_bridge("dead", "list")).output
    shown = (await master_bridge("dead", "show", listed[0]["id"])).output
    assert '"offer": "o-1"' in shown
    await master_bridge("dead", "requeue", listed[0]["id"], listed[1]["id"])
    await master.wait_for_messages("cap.any", 3)
    assert (await master_bridge("dead", "drop", listed[2]["id"])).output == "1 dropped\n"
    hopeless = await master_bridge("dead", "requeue", listed[4]["id"], expect=1)
    assert "is no offer" in hopeless.output
    assert "is no offer" in (await master_bridge("dead", "requeue", listed[3]["id"], expect=1)).output
    assert "not in `dead`" in (await master_bridge("dead", "show", "zzz", expect=1)).output
    await master.wait_for_messages("dead", 2)
    left = json.loads((await master_bridge("dead", "list", "--json")).output)
    assert [message["queue"] for message in left] == ["claims.m1", "agent.guest.i.n"]
    await master_bridge("dead", "drop", "--all")
    await master.wait_for_messages("dead", 0)


async def test_a_command_offer_is_sent_again_where_all_share_one_account(
    amqp_url: str, open_master: OpenMaster, start_agent: StartAgent, master_bridge: RunCommand, tmp_path: Path
) -> None:
    """Master, agents and operator are guest. It keeps the priority that it had, and runs at nobody's first sight."""
    master = await open_master("any")
    ran = tmp_path / "ran"
    offer = Offer(
        offer="o-1", request="br-1", master="m1", user="guest", ticket="t", run=1, signature="any", kind="command",
        published=time.time() + 3600, builddir="b", commands=(shell(1, "touch", str(ran)),),
    )  # fmt: skip
    for priority in (7, -1, 2**62, "x", None):
        headers = {} if priority is None else {topology.DEAD_PRIORITY_HEADER: priority}
        send_to_dead(amqp_url, encode(offer).body, reason="why", queue="cap.any", headers=headers)
    await master.wait_for_messages("dead", 5)
    await master_bridge("dead", "requeue", "--all")
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        seen = []
        for _ in range(5):
            method, properties, body = channel.basic_get("cap.any")
            assert body == encode(offer).body
            seen.append((properties.priority, properties.type, properties.delivery_mode, properties.expiration))
            last = (method, properties)
        assert sorted(seen) == sorted((each, "offer", 2, None) for each in (7, 0, 10, 0, 0))
        for tag in range(1, 5):
            channel.basic_ack(tag)
        channel.basic_nack(last[0].delivery_tag)
        start_agent("agent")
        claim = await master.wait_for(Claim)
        assert claim.offer == "o-1"
        await master.grant(claim)
        await master.wait_for(Accept)
        assert not ran.exists()


async def test_what_agents_bury_keeps_its_priority(
    amqp_url: str, open_master: OpenMaster, start_agent: StartAgent, master_bridge: RunCommand
) -> None:
    """An offer that an agent without the key of its master puts aside, and is sent again."""
    master = await open_master("any")
    offer = Offer(
        offer="o-1", request="br-1", master="m1", user="guest", ticket="t", run=1, signature="any", kind="build",
        published=time.time(), builddir="b",
    )  # fmt: skip
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        properties = pika.BasicProperties(priority=6, user_id="guest")
        connection.channel().basic_publish("", "cap.any", encode(offer).body + b" and nonsense", properties)
    agent = start_agent("agent")
    await master.wait_for_messages("dead", 1)
    (message,) = json.loads((await master_bridge("dead", "list", "--json")).output)
    assert (message["priority"], message["agent"], message["account"]) == (6, "agent", "guest")
    assert agent.child.running


async def test_what_may_hold_secrets_is_not_shown(
    amqp_url: str, open_master: OpenMaster, master_bridge: RunCommand
) -> None:
    """Arguments of commands, and the bytes of output and files, stay in the message; the rest of it is shown."""
    master = await open_master("any")
    command = Command(n=1, name="shell", args={"command": ["login", "hunter2"]}, digest="d")
    start = Start(session="s-1", incarnation="i-1", command=command)
    event = Event(session="s-1", seq=1, n=1, kind="stdout", data=b"hunter2")
    for message in (start, event):
        wire = encode(message)
        send_to_dead(amqp_url, wire.body, reason="nobody's", queue="events.m1", headers=dict(wire.headers))
    await master.wait_for_messages("dead", 2)
    listed = json.loads((await master_bridge("dead", "list", "--json")).output)
    shown = (await master_bridge("dead", "show", *(message["id"] for message in listed))).output
    assert "hunter2" not in shown
    assert '"name": "shell"' in shown
    assert "7 bytes of a command's output" in shown
    await master_bridge("dead", "drop", "--all")
