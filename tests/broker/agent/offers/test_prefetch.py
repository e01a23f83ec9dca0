"""One offer at a time, with consumers that outlive it: by a prefetch that they share, or others are given back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from contracts import topology
from contracts.messages import Claim
from contracts.rabbitmq.facts import SHARED_PREFETCH_DENIED
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.agent.scripted_master import ScriptedMaster, until
from tests.harness import broker_state
from tests.harness.brokers import version_of

pytestmark = pytest.mark.brokers

SIGNATURES = ("alpha", "beta")
ABLE = [flag for name in SIGNATURES for flag in ("--capability", name)]
#: They come back from the parking queue after a second; one is parked in a few milliseconds.
SILENT_OFFERS = 3000


async def claim_after(master: ScriptedMaster, *before: Claim) -> Claim:
    """The first claim of another session than those."""
    return await master.wait_for(Claim, lambda claim: claim.session not in {known.session for known in before})


async def work(master: ScriptedMaster, claim: Claim) -> None:
    await master.grant(claim)
    await master.release(claim)


async def idle(master: ScriptedMaster) -> None:
    """Until the agent waits for work: the next offer is none that has waited for it."""
    for signature in SIGNATURES:
        await master.wait_for_consumers(signature, 1)


@pytest.mark.parametrize("queue_type", ["classic", pytest.param("quorum", marks=pytest.mark.long)])
async def test_consumers_outlive_a_claim(
    node: RabbitMQNode,
    make_vhost: Callable[[], str],
    start_agent: StartAgent,
    open_master: OpenMaster,
    queue_type: str,
) -> None:
    """An agent that was waiting for its offer has the very consumers afterwards that it had before."""
    vhost = make_vhost()
    url = node.vhost_url(vhost)

    def consumers() -> list[tuple[str, str]]:
        return [each for each in broker_state.consumers(node, vhost) if each[0].startswith("cap.")]

    def holds(*queues: str) -> bool:
        """Offers of these queues are held, and no others; of a quorum queue it is told every few seconds."""
        held = broker_state.queues(node, vhost, "messages_unacknowledged")
        return [name for name, number in held.items() if name.startswith("cap.") and number] == [*queues]

    master = await open_master(url=url)
    for signature in SIGNATURES:
        await master.declare(signature, queue_type)
    start_agent("agent", *ABLE, url=url)
    await idle(master)
    before = consumers()
    assert len(before) == 2
    known: list[Claim] = []
    for signature in SIGNATURES:
        await master.offer(signature)
        claim = await claim_after(master, *known)
        await master.grant(claim)  # else it is given up after 5 s
        await until(partial(holds, topology.cap_queue(signature)), "the offer to be held")
        await master.release(claim)
        await until(holds, "the offer to be acknowledged")
        known.append(claim)
    await idle(master)
    assert consumers() == before


async def test_the_consumer_of_a_single_queue_stays_while_offers_wait(
    node: RabbitMQNode, make_vhost: Callable[[], str], start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """With one queue there are no turns to take: to cancel and consume is what each of many short builds would cost."""
    vhost = make_vhost()
    url = node.vhost_url(vhost)

    def tags() -> list[str]:
        found = node.ctl("list_consumers", "-p", vhost, "queue_name", "consumer_tag", "--no-table-headers").splitlines()
        return [line for line in found if line.startswith("cap.")]

    master = await open_master("alpha", url=url)
    start_agent("agent", "--capability", "alpha", url=url)
    await master.wait_for_consumers("alpha", 1)
    before = tags()
    for _ in range(3):
        await master.offer("alpha")
    known: list[Claim] = []
    for _ in range(3):
        known.append(await claim_after(master, *known))
        await work(master, known[-1])
    await master.wait_for_messages(topology.cap_queue("alpha"), 0)
    await master.wait_for_consumers("alpha", 1)
    if version_of(master.url) < SHARED_PREFETCH_DENIED:  # elsewhere each consumer may bring one more, and is cancelled
        assert tags() == before


async def test_an_agent_that_wants_no_more_keeps_nothing(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """It is drained while it works; when it acknowledges its offer, the broker hands it no other.

    Without a shared prefetch it may have been handed one while it worked: that is back in its queue.
    """
    master = await open_master(*SIGNATURES)
    start_agent("agent", *ABLE)
    await idle(master)
    await master.offer("alpha")
    claim = await claim_after(master)
    await master.grant(claim)
    for signature in SIGNATURES:
        await master.offer(signature)
    await master.steer("drain", claim.address)
    await master.status(lambda status: status.state == "draining")
    await master.release(claim)
    for signature in SIGNATURES:
        await master.wait_for_consumers(signature, 0)
        waiting = await (await master.channel.get_queue(topology.cap_queue(signature))).get(timeout=60)
        assert waiting is not None
        if signature == "alpha" or version_of(master.url) < SHARED_PREFETCH_DENIED:
            assert not waiting.redelivered, f"the offer of {signature} had been handed out"
    assert master.all(Claim) == [claim]


async def test_the_queue_of_a_held_offer_is_deleted(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """The broker counts the offer as held for as long as the channel lives: the next work must not wait for that."""
    master = await open_master(*SIGNATURES)
    agent = start_agent("agent", *ABLE)
    await idle(master)
    await master.offer("alpha")
    claim = await claim_after(master)
    await master.grant(claim)
    await master.channel.queue_delete(topology.cap_queue("alpha"))
    await until(lambda: "consumer_cancelled_by_broker" in agent.log, "the agent to notice")
    await master.declare("alpha")  # else to consume it would close the channel
    await master.offer("beta")
    await master.release(claim)
    await work(master, await claim_after(master, claim))


async def test_what_a_queue_holds_for_a_silent_master_stops_no_other(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """Its offers are parked one by one, and come back: the living master's offer in the queue after it is not last."""
    living, silent = await open_master(*SIGNATURES, "gamma"), await open_master(name="m2")
    await silent.offer("alpha")  # the one that is claimed in vain; beta's turn is the next, gamma's the one after that
    for _ in range(SILENT_OFFERS):
        await silent.offer("beta")
    await silent.connection.close()
    agent = start_agent("agent", *ABLE, "--capability", "gamma")
    await until(lambda: "master_silent" in agent.log, "a claim of m2's to be given up")
    offer = await living.offer("gamma")
    assert (await living.wait_for(Claim)).offer == offer.offer


async def test_a_queue_without_a_shared_prefetch(start_agent: StartAgent, open_master: OpenMaster) -> None:
    """A quorum queue refuses it, and the connection with it: the agent comes back and does without.

    From 4.3 on it does so from the beginning.
    """
    master = await open_master("alpha")
    await master.declare("beta", "quorum")
    agent = start_agent("agent", *ABLE)
    refused = int(version_of(master.url) < SHARED_PREFETCH_DENIED)
    await until(lambda: agent.log.count("shared_prefetch_refused") == refused, "the agent to notice")
    await idle(master)
    known: list[Claim] = []
    for signature in ("beta", "alpha", "beta"):
        await master.offer(signature)
        claim = await claim_after(master, *known)
        await work(master, claim)
        known.append(claim)
    assert agent.log.count("shared_prefetch_refused") == refused
    assert agent.log.count("link_down") == refused


async def test_what_an_agent_at_work_is_handed_goes_to_an_idle_one(
    start_agent: StartAgent, open_master: OpenMaster
) -> None:
    """It gives it back at once, is not handed it again, and consumes that queue again after its work."""
    master = await open_master()
    for signature in SIGNATURES:
        await master.declare(signature, "quorum")
    start_agent("busy", *ABLE)
    await idle(master)
    await master.offer("alpha")
    first = await claim_after(master)
    await master.grant(first)
    offer = await master.offer("beta")
    await master.wait_for_messages(topology.cap_queue("beta"), 1)
    await master.wait_for_consumers("beta", 0)
    start_agent("idle", *ABLE)
    second = await claim_after(master, first)
    assert (second.agent, second.offer) == ("idle", offer.offer)
    await master.grant(second)
    await master.release(first)
    await master.wait_for_consumers("beta", 2)
    await master.offer("beta")
    third = await claim_after(master, first, second)
    assert third.agent == "busy"


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_an_agent_of_two_slots(start_agent: StartAgent, open_master: OpenMaster, queue_type: str) -> None:
    """It takes a second offer of the queue whose first one it holds, and no third one before it has room."""
    master = await open_master()
    for signature in SIGNATURES:
        await master.declare(signature, queue_type)
    agent = start_agent("agent", *ABLE, "--slots", "2")
    await idle(master)
    known: list[Claim] = []
    for _ in range(4):
        await master.offer("alpha")
    for _ in range(2):
        claim = await claim_after(master, *known)
        await master.grant(claim)
        known.append(claim)
    await master.wait_for_messages(topology.cap_queue("alpha"), 2)
    await master.offer("beta")
    await master.wait_for_messages(topology.cap_queue("beta"), 1)
    assert len(master.all(Claim)) == 2
    for held in range(3):
        await master.release(known[held])
        claim = await claim_after(master, *known)
        await master.grant(claim)
        known.append(claim)
    for held in (3, 4):
        await master.release(known[held])
    await idle(master)
    assert len({claim.offer for claim in known}) == 5
    assert "shared_prefetch_refused" not in agent.log
    assert "link_down" not in agent.log


@pytest.mark.long
async def test_what_the_brokers_owner_permits(
    node: RabbitMQNode, start_agent: StartAgent, open_master: OpenMaster, tmp_path: Path
) -> None:
    """From 3.12 on an owner may deny it, from 4.3 on it has to be permitted; an agent serves one offer at a time."""
    version = version_of(node.url)
    # what rabbitmq.conf says
    cases: list[bool | None] = [None]
    if version >= (3, 12):
        cases += [True, False]
    for number, permitted in enumerate(cases):
        config = {} if permitted is None else {"deprecated_features.permit.global_qos": str(permitted).lower()}
        shared = version < SHARED_PREFETCH_DENIED and permitted is not False
        with RabbitMQNode(tmp_path / f"node{number}", config=config) as own:
            await _serves(own.url, f"agent{number}", shared, start_agent, open_master)


async def _serves(url: str, name: str, shared: bool, start_agent: StartAgent, open_master: OpenMaster) -> None:
    master = await open_master(*SIGNATURES, url=url)
    agent = start_agent(name, *ABLE, url=url)
    await idle(master)
    known: list[Claim] = []
    for signature in 2 * SIGNATURES:
        await master.offer(signature)
        claim = await claim_after(master, *known)
        await master.grant(claim)
        (other,) = {*SIGNATURES} - {signature}
        await master.offer(other)
        await master.wait_for_consumers(other, int(shared))
        await master.wait_for_messages(topology.cap_queue(other), 1)
        await master.release(claim)
        second = await claim_after(master, claim, *known)
        await work(master, second)
        await idle(master)
        known += [claim, second]
    assert "shared_prefetch_refused" not in agent.log
    assert "link_down" not in agent.log
    agent.kill()
