"""Offers: one at most in each hand, none lost, none starving (shared traps of AMQP, on a real broker)."""

from __future__ import annotations

import asyncio
from typing import Any

import aio_pika
import pytest

from contracts import topology
from contracts.messages import Claim
from contracts.protocol_version import OURS
from contracts.timing import PARKINGS_MAX
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, shell, until

pytestmark = pytest.mark.brokers

SIGNATURES = ("alpha", "beta", "delta", "epsilon", "gamma")
ABLE = [flag for name in SIGNATURES for flag in ("--capability", name)]
#: Quorum queues know no prefetch that a channel's consumers share: each may hand an agent at work one more offer.
both_types = pytest.mark.parametrize("queue_type", ["classic", "quorum"])


async def open_typed(open_master: OpenMaster, queue_type: str, *signatures: str) -> ScriptedMaster:
    master = await open_master()
    for signature in signatures:
        await master.declare(signature, queue_type)
    return master


async def grant_all(master: ScriptedMaster) -> None:
    """Grant each claim as it comes, until cancelled."""
    granted: set[str] = set()
    while True:
        for claim in master.all(Claim, lambda claim: claim.session not in granted):
            granted.add(claim.session)
            await master.grant(claim)
        await asyncio.sleep(0.01)


@both_types
async def test_five_idle_agents_take_five_builds_of_five_queues(
    start_agent: StartAgent, open_master: OpenMaster, queue_type: str
) -> None:
    """Prefetch counts per consumer: five agents on the same five queues must not take two offers each."""
    master = await open_typed(open_master, queue_type, *SIGNATURES)
    for number in range(5):
        start_agent(f"agent{number}", *ABLE)
    for signature in SIGNATURES:
        await master.wait_for_consumers(signature, 5, timeout=40)
    granting = asyncio.create_task(grant_all(master))
    offers = [await master.offer(signature) for signature in SIGNATURES]

    await until(lambda: len({claim.agent for claim in master.all(Claim)}) == 5, "claims of all five agents")
    assert {claim.offer for claim in master.all(Claim)} == {offer.offer for offer in offers}
    granting.cancel()


@both_types
async def test_an_agent_at_work_keeps_nothing_back(
    start_agent: StartAgent, open_master: OpenMaster, queue_type: str
) -> None:
    """Offers of five queues at once: the agent takes one, the four others are in their queues for anybody."""
    master = await open_typed(open_master, queue_type, *SIGNATURES)
    for signature in SIGNATURES:
        await master.offer(signature)
    start_agent("agent", *ABLE)
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    for signature in SIGNATURES:
        await master.wait_for_messages(topology.cap_queue(signature), int(signature != claim_signature(claim, master)))

    await master.build(claim, [shell(1, "true")])
    second = await master.wait_for(Claim, lambda other: other.offer != claim.offer)
    assert second.session != claim.session


@both_types
async def test_queues_are_served_in_turn(start_agent: StartAgent, open_master: OpenMaster, queue_type: str) -> None:
    """Four offers wait in each of three queues: no queue waits for the end of another's work."""
    master = await open_typed(open_master, queue_type, *SIGNATURES[:3])
    offered = 4 * SIGNATURES[:3]
    for signature in offered:
        await master.offer(signature)
    start_agent("agent", *ABLE)
    served: list[str] = []
    claims: set[str] = set()
    for _ in offered:
        claim = await master.wait_for(Claim, lambda claim: claim.session not in claims)
        claims.add(claim.session)
        served.append(offered[int(claim.request.removeprefix("br-")) - 1])
        await master.grant(claim)
        await master.release(claim)
    for first in range(0, len(served), 3):
        assert {*served[first : first + 3]} == {*SIGNATURES[:3]}, served


def claim_signature(claim: Claim, master: ScriptedMaster) -> str:
    return SIGNATURES[int(claim.request.removeprefix("br-")) - 1]


async def test_an_offer_outlives_its_agent(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """The agent is killed with a build in hand: the next agent gets the same offer."""
    master = await open_master("any")
    offer = await master.offer()
    agent = start_agent("first")
    claim = await master.wait_for(Claim)
    await master.grant(claim)
    agent.kill()
    start_agent("second")
    again = await master.wait_for(Claim, lambda other: other.agent == "second")
    assert again.offer == offer.offer
    assert again.session != claim.session


async def test_what_is_no_offer_goes_to_the_dead(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """A message that cannot be read is moved to `dead` with the reason, and the work behind it is done."""
    master = await open_master("any")
    exchange = await master.channel.get_exchange(topology.OFFERS)
    await exchange.publish(aio_pika.Message(b"{not json", content_type="application/json"), "cap.any")
    offer = await master.offer()
    start_agent()
    claim = await master.wait_for(Claim)
    assert claim.offer == offer.offer
    dead = await (await master.channel.get_queue(topology.DEAD_QUEUE)).get(timeout=60)
    assert dead is not None
    assert dead.body == b"{not json"
    assert "not JSON" in str(dead.headers["bb-reason"])
    assert dead.headers["bb-queue"] == "cap.any"


async def test_an_offer_of_a_newer_protocol_is_left_to_a_newer_agent(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """An offer of a version that this agent does not speak is parked, not buried."""
    master = await open_master("any")
    agent = start_agent()
    await master.wait_for_consumers("any", 1)
    exchange = await master.channel.get_exchange(topology.OFFERS)
    await exchange.publish(aio_pika.Message(b'{"t": "offer", "v": 99}', content_type="application/json"), "cap.any")
    await until(lambda: "offer_of_other_version" in agent.log, "the agent to say so")
    assert await master.messages_in(topology.DEAD_QUEUE) == 0


async def test_an_offer_of_a_version_that_nobody_speaks_ends_in_the_dead(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """Parked often enough it is buried; the reason names both versions."""
    master = await open_master("any")
    parked: Any = {"queue": "cap.any", "reason": "rejected", "count": PARKINGS_MAX}
    exchange = await master.channel.get_exchange(topology.OFFERS)
    message = aio_pika.Message(
        b'{"t": "offer", "v": 99}', content_type="application/json", headers={"x-death": [parked]}
    )
    await exchange.publish(message, "cap.any")
    offer = await master.offer()
    start_agent()
    assert (await master.wait_for(Claim)).offer == offer.offer
    dead = await (await master.channel.get_queue(topology.DEAD_QUEUE)).get(timeout=60)
    assert dead is not None
    reason = str(dead.headers["bb-reason"])
    assert "version 99" in reason
    assert f"speaks {OURS}" in reason
    assert "no agent of its version took it" in reason


async def test_an_unfit_machine_takes_no_work(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """Too little memory: the agent says why and consumes nothing."""
    master = await open_master("any")
    await master.offer()
    start_agent("agent", "--min-free-memory", "1000TiB")
    status = await master.status(lambda status: status.state == "unwell" and bool(status.queues))
    assert "memory low" in status.reasons[0]
    assert await master.messages_in("cap.any") == 1
    assert master.all(Claim) == []
