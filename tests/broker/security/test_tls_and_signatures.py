"""TLS on both sides, accounts of their own, signed offers and orders, and a worker that is shut out."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import Result

from contracts import topology
from contracts.messages import Catalogue, Claim, Grant, Offer, Refuse, Release, Steer
from contracts.testing.rabbitmq.node import USER
from contracts.timing import CLOCK_MARGIN
from contracts.trust.signing import generate
from master_bridge.link.settings import TLSSettings
from tests.broker.agent.conftest import AgentProcess, OpenMaster, StartAgent
from tests.broker.agent.scripted_master import shell, until
from tests.broker.bridge.conftest import RunningLink, make_link, twisted  # noqa: F401  # fixtures
from tests.broker.security.conftest import SecureNode
from worker_agent.program.loading import load

Enroll = Callable[..., Path]
MakeLink = Callable[..., RunningLink]


def offer(number: int, user: str = USER, **fields: Any) -> Offer:
    return Offer(
        offer=f"o-{number}", request=f"br-{number}", master="m1", user=user, ticket="t", run=number, signature="any",
        kind="build", published=time.time(), builddir="b", **fields,
    )  # fmt: skip


def url_in(config: Path) -> str:
    secret = load({}, config).amqp_url
    assert secret is not None
    return secret.get_secret_value()


def announce(link: RunningLink) -> None:
    link.call("ensure_queues", ["any"])
    link.call("publish_catalogue", Catalogue(master="m1", incarnation="i1", signatures=("any",)))


async def claims(link: RunningLink, number: int) -> list[Claim]:
    """The first `number` claims that the bridge's link was brought."""

    def found() -> list[Claim]:
        messages = [event[2] for event in link.client.named("message")]
        return [message for message in messages if isinstance(message, Claim)]

    await until(lambda: len(found()) >= number, f"{number} claims", 30)
    return found()


async def test_bridge_and_agent_work_over_tls_with_accounts_and_keys_of_their_own(
    secure: SecureNode,
    enroll: Enroll,
    make_link: MakeLink,
    start_agent: StartAgent,
    tmp_path: Path,
) -> None:
    """Both verify the broker and show a certificate; the permissions suffice; what is signed is taken and claimed."""
    generate(tmp_path / "key")
    made = secure.made
    link = make_link(
        url=enroll("bridge", "--as", "master", "--master", "m1").read_text().strip(),
        tls=TLSSettings(ca=str(made.ca), certificate=str(made.clients["bridge"]), key=str(made.clients["bridge"])),
        signing_key=str(tmp_path / "key"),
    )
    announce(link)
    agent = start_agent(
        "agent", "--tls-ca", str(made.ca), "--tls-cert", str(made.clients["agent"]),
        "--trusted-key", str(tmp_path / "key.pub"), url=url_in(enroll("agent")),
    )  # fmt: skip
    link.call("publish_offer", offer(1, user="bridge"))
    (claim,) = await claims(link, 1)
    assert topology.address_user(claim.address) == "agent"
    assert [event[3] for event in link.client.named("message")] == ["agent"]
    subjects = secure.node.ctl("list_connections", "user", "ssl", "peer_cert_subject").splitlines()
    ours = {line for line in subjects if line.startswith(("agent\t", "bridge\t"))}
    assert len(subjects) >= 4
    assert all("\ttrue\t" in line and f"CN={line.split(chr(9))[0]}" in line for line in ours), subjects
    link.call("send", Refuse(session=claim.session, master="m1", re="claim", reason="test"), claim.address)
    link.call("publish_offer", offer(2, user="bridge"))
    await claims(link, 2)
    assert "offer_sender_not_verified" not in agent.log


async def test_what_is_not_signed_is_refused_and_said_so(
    open_master: OpenMaster,
    start_agent: StartAgent,
    amqp_url: str,
    make_link: MakeLink,
    tmp_path: Path,
) -> None:
    """An unsigned offer, one of another key and an unsigned stop: none is followed; `dead` and metrics say why."""
    for name in ("ours", "theirs"):
        generate(tmp_path / name)
    master = await open_master("any", name="forger")
    agent = start_agent("agent", "--trusted-key", str(tmp_path / "ours.pub"), "--metrics-port", "0")
    await master.wait_for_consumers("any", 1)
    await master.offer()
    await master.wait_for_messages("dead", 1)
    status = await master.status(lambda status: bool(status.address))
    await master.steer("stop", status.address)
    await master.wait_for_messages("dead", 2)
    theirs = make_link(master="m2", signing_key=str(tmp_path / "theirs"))
    theirs.call("publish_offer", offer(7))
    await until(lambda: "signed with key" in agent.log, "the refusal of the other key")
    assert agent.child.running
    assert not master.all(Claim)
    assert metric(agent, "worker_agent_not_trusted") >= 3

    right = make_link(master="m1", signing_key=str(tmp_path / "ours"))
    right.call("publish_offer", offer(8))
    assert [claim.offer for claim in await claims(right, 1)] == ["o-8"]
    right.call("send", Steer(order="stop"), status.address)
    await until(lambda: not agent.child.running, "the agent to obey its master")


@pytest.mark.long  # an unanswered claim is given up after 5 s
async def test_a_signed_command_that_is_sent_again_is_not_run_again(
    start_agent: StartAgent, amqp_url: str, make_link: MakeLink, tmp_path: Path
) -> None:
    """By whoever can publish, without a redelivered flag, while its master is silent: it asks, and waits parked."""
    generate(tmp_path / "key")
    ran = tmp_path / "ran"
    link = make_link(signing_key=str(tmp_path / "key"))
    announce(link)
    agent = start_agent("agent", "--trusted-key", str(tmp_path / "key.pub"))
    await until(lambda: "added=['cap.any']" in agent.log, "the agent consumes", 30)
    work = offer(1).model_copy(
        update={
            "kind": "command",
            "published": time.time() + CLOCK_MARGIN + 10,  # as if the agent had been connected for a minute
            "commands": (shell(1, "sh", "-c", f"echo ran >> {ran}"),),
        }
    )
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        tap = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(tap, topology.OFFERS, topology.cap_queue("any"))
        link.call("publish_offer", work)
        (claim,) = await claims(link, 1)
        await until(lambda: ran.exists() and ran.read_text() == "ran\n", "the first delivery runs without a grant")
        for message in (
            Grant(session=claim.session, master="m1", incarnation="i1", run=1, stored=0, ticket="t"),
            Release(session=claim.session, incarnation="i1"),
        ):
            link.call("send", message, claim.address)
        await until(lambda: not list((agent.folder / "state" / "sessions").iterdir()), "the session is over")
        _, properties, body = channel.basic_get(tap, auto_ack=True)
        channel.basic_publish(topology.OFFERS, topology.cap_queue("any"), body, properties)
        await claims(link, 2)

        def parked() -> int:
            return int(channel.queue_declare(topology.PARKED_QUEUE, passive=True).method.message_count)

        await until(parked, "nobody grants it, so it is parked", 15)
    assert ran.read_text() == "ran\n"
    assert "offer_sent_again" in agent.log


async def test_a_broker_with_a_strangers_certificate_is_refused_by_both(
    secure: SecureNode,
    enroll: Enroll,
    make_link: MakeLink,
    start_agent: StartAgent,
) -> None:
    """Without the CA neither side says a word, and both tell what to do."""
    agent = start_agent(url=url_in(enroll("agent")))
    link = make_link(url=enroll("bridge", "--as", "master", "--master", "m1").read_text().strip(), up=False)
    await until(lambda: "give the CA that signed it with --tls-ca" in agent.log, "the agent's refusal")
    await until(lambda: "certificate" in (link.link.down_reason or ""), "the bridge's refusal")
    assert "link_up" not in agent.log


async def test_a_revoked_worker_is_cut_off(
    secure: SecureNode,
    enroll: Enroll,
    open_master: OpenMaster,
    start_agent: StartAgent,
    master_bridge: Callable[..., Awaitable[Result]],
) -> None:
    """`revoke`: its connections end at once, its offers go back, its login is refused; twice is an error."""
    master = await open_master("any")
    agent = start_agent("agent", "--tls-ca", str(secure.made.ca), url=url_in(enroll("agent")))
    await master.offer()
    await master.grant(await master.wait_for(Claim))
    result = await master_bridge("revoke", "agent")
    assert result.exit_code == 0, result.output
    await until(lambda: "link_down" in agent.log, "the agent to be cut off")
    await master.wait_for_messages("cap.any", 1)
    await until(lambda: "refuses the login of user 'agent'" in agent.log, "its login to be refused")
    again = await master_bridge("revoke", "agent")
    assert again.exit_code == 1
    assert "there is no account 'agent'" in again.output


def metric(agent: AgentProcess, name: str) -> float:
    import urllib.request

    url = re.search(r"http://127.0.0.1:\d+/metrics", agent.log)
    assert url is not None
    with urllib.request.urlopen(url.group(), timeout=60) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])
