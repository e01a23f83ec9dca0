"""An operator's rights are not at the service of whoever writes statuses, or letters into `dead`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import NackError

from contracts import topology
from contracts.codec import encode
from contracts.messages import Claim, Message, Offer, SlotStatus, Status
from contracts.trust.signing import Signer, generate
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell, until
from tests.broker.security.conftest import SecureNode
from tests.broker.security.test_stolen_account import channel_of

Enroll = Callable[..., Path]


def publish(channel: Any, exchange: str, key: str, message: Message, user: str, **headers: Any) -> bytes:
    body = encode(message).body
    channel.basic_publish(exchange, key, body, pika.BasicProperties(user_id=user, headers=headers))
    return body


async def test_orders_go_to_verified_agents_and_only_they_tell_what_came_of_them(
    secure: SecureNode, enroll: Enroll, open_master: OpenMaster, start_agent: StartAgent, master_bridge: Any
) -> None:
    """A worker's account tells statuses in the name of another's agent: the same name and instance with an address of
    its own, and "paused" and "leaving" with the other's address."""
    master = await open_master("any")
    agent = start_agent("agent")
    await master.wait_for_consumers("any", 1)
    true = await master.status(lambda status: status.state == "ready")
    mallory = channel_of(secure, enroll("mallory"))
    own = topology.control_address("mallory", true.instance, "n")
    mallory.queue_declare(own, exclusive=True)
    mallory.queue_bind(own, topology.CONTROL, own)

    async def with_lies(*arguments: str) -> Any:
        command = asyncio.ensure_future(master_bridge(*arguments))
        while not command.done():
            for lie in ({"address": own}, {"state": "paused"}, {"state": "leaving"}):
                # RabbitMQ 4 refuses what was on its way to a queue that was deleted, the command's at its end
                with contextlib.suppress(NackError):
                    publish(mallory, topology.FLEET, topology.STATUS_KEY, true.model_copy(update=lie), "mallory")
            mallory.connection.process_data_events(0)
            await asyncio.sleep(0.05)
        return command.result()

    unclear = await with_lies("drain", "agent")
    assert unclear.exit_code == 1
    assert f"{true.instance}@mallory" in unclear.output
    await master.offer()
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    await master.start(claim, shell(1, "sleep", "1000"))
    for order in ("drain", "stop"):  # neither happens before the command's end
        result = await with_lies(order, "agent@guest", "--wait", "2")
        assert (result.exit_code, "agent: has not done it within 2 s" in result.output) == (1, True), result.output
    result = await with_lies("stop", "agent@guest", "--now", "--wait", "30")
    assert result.exit_code == 0, result.output
    await until(lambda: not agent.child.running, "the agent to leave")
    assert mallory.basic_get(own) == (None, None, None)


@pytest.fixture
def operator(enroll: Enroll, secure: SecureNode) -> dict[str, str]:
    """The environment of an enrolled operator."""
    url = enroll("op", "--as", "operator").read_text().strip()
    return {"MASTER_BRIDGE_AMQP_URL": url, "MASTER_BRIDGE_TLS_CA": str(secure.made.ca)}


async def test_what_is_sent_again_keeps_its_bytes_and_its_signature(
    amqp_url: str, secure: SecureNode, enroll: Enroll, operator: dict[str, str], open_master: OpenMaster,
    start_agent: StartAgent, master_bridge: Any, tmp_path: Path,
) -> None:  # fmt: skip
    """A worker puts a command offer of its own into `dead`, for another queue, and a claim: neither is done by an
    operator's key or name. The master's own offer is claimed, and its commands ask first."""
    generate(tmp_path / "key")
    ran = tmp_path / "ran"
    master = await open_master("any", "gtk")
    offer = Offer(
        offer="o-true", request="br-1", master="m1", user="guest", ticket="t", run=1, signature="any", kind="command",
        published=time.time(), builddir="b", commands=(shell(1, "touch", str(ran)),),
    )  # fmt: skip
    key = topology.cap_queue("any")
    signed = Signer.from_file(tmp_path / "key").headers(topology.OFFERS, key, encode(offer).body, {})
    mallory = channel_of(secure, enroll("mallory"))
    dead = {topology.DEAD_REASON_HEADER: "\x1b]0;x\x07[/x]", topology.DEAD_QUEUE_HEADER: topology.cap_queue("gtk")}
    forged = offer.model_copy(update={"offer": "o-forged"})
    publish(mallory, topology.DEAD, "", offer, "mallory", **dead, **signed, **{"x-other": "y"})
    publish(mallory, topology.DEAD, "", forged, "mallory", **dead)
    claims = {**dead, topology.DEAD_QUEUE_HEADER: "claims.m1"}
    publish(mallory, topology.DEAD, "guest.m1.claims", offer, "mallory", **{**claims, "bb": "{}"})
    await master.wait_for_messages("dead", 3)
    result = await master_bridge("dead", "requeue", "--all", "--signing-key", str(tmp_path / "key"), **operator)
    assert "it is no offer" in result.output
    assert result.exit_code == 1
    await master.wait_for_messages("dead", 1)
    await master.wait_for_messages("cap.gtk", 0)
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for body, headers in ((encode(offer).body, signed), (encode(forged).body, {})):
            method, properties, came = channel.basic_get(key)
            again = {**headers, topology.AGAIN_HEADER: True}
            assert (came, properties.headers, properties.user_id) == (body, again, "op")
        channel.basic_nack(method.delivery_tag, multiple=True)

        start_agent("agent", "--trusted-key", str(tmp_path / "key.pub"))
        claim = await master.wait_for(Claim)
    assert claim.offer == "o-true"
    await master.wait_for_messages("dead", 2)
    assert not ran.exists()


def test_what_is_kept_of_a_survey_is_bounded_for_each_account() -> None:
    """The one that says too much is named, and another one's agents are there."""
    from contracts.trust.envelope import Envelope
    from master_bridge.operating.survey import NUMBER_MAX, Survey

    survey = Survey(None)  # type: ignore[arg-type]  # nothing is asked of the broker
    for user, number in (("mallory", NUMBER_MAX + 5), ("alice", 1)):
        envelope = Envelope(exchange="bb.fleet", routing_key="status", user_id=user, dead_lettered=False)
        for each in range(number):
            status = Status(
                instance=f"i-{each}", agent="a", epoch=1, address=f"agent.{user}.i.n", version="1", now=1.0,
                state="ready", slots=(SlotStatus(state="idle"),), capabilities=(),
            )  # fmt: skip
            survey.hear(status, envelope, 100)
    assert len(survey.agents) == NUMBER_MAX + 1
    assert survey.left_out == {"mallory"}
