"""The agent's loop: what comes in goes where it belongs, once, and nothing that comes stops it."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import Alive, Catalogue, Event, Grant, Offer, Ping, Release, Start
from worker_agent.agent import loop
from worker_agent.agent.ending import EndReason
from worker_agent.core import inputs
from worker_agent.core.availability import Order
from worker_agent.core.inputs import Recovered, SessionMeta

from .stage import DEADLINE, QUEUE, USER, Begin, FakeSessions, Stage, command

# ---- an offer, once through the loop


async def test_an_offer_is_checked_then_claimed(stage: Stage) -> None:
    """No claim while the machine is looked at; no other offer is taken meanwhile."""
    stage.may_answer.clear()
    first = stage.offer()
    await stage.until(lambda: stage.agent.parts.checks.running, "the check")
    second = stage.offer()
    await stage.turned()
    assert stage.said("claim") == []
    assert stage.did == [("consume", (QUEUE,)), ("cancel",), ("settle", second, "give_back")]
    stage.may_answer.set()
    await stage.until(lambda: stage.said("claim"), "the claim")
    assert stage.said("claim")[0].offer == f"o{first}"
    assert not stage.agent.parts.checks.running


async def test_an_agent_that_is_not_able_gives_the_offer_back_and_says_so(stage: Stage, log: Any) -> None:
    """Its queues are looked at anew before the offer goes back to one of them."""
    order: list[str] = []
    stage.agent.parts.checks._not_able = lambda: (
        order.append("not able"),
        stage.link.put(inputs.QueuesKnown(queues=frozenset())),
    )  # type: ignore[assignment, return-value]  # two calls in one
    stage.able = False
    delivery = stage.offer()
    await stage.until(lambda: ("settle", delivery, "give_back") in stage.did, "it back")
    await stage.turned()
    assert order == ["not able"]
    assert stage.did[-1] == ("settle", delivery, "give_back"), "and that queue is not consumed any more"
    assert stage.said("claim") == []
    assert [(entry["queue"], entry["offer"]) for entry in log("offer_returned_not_qualified")] == [
        (QUEUE, f"o{delivery}")
    ]


async def test_a_check_that_fails_parks_the_offer(stage: Stage, log: Any) -> None:
    """Somebody may have better luck, or this agent later; it goes on, and says what failed."""
    stage.able = RuntimeError("planted")
    delivery = stage.offer()
    await stage.until(lambda: ("settle", delivery, "park") in stage.did, "it parked")
    await stage.until(lambda: stage.did[-1] == ("consume", (QUEUE,)), "that it consumes again")
    assert [entry["part"] for entry in log("part_failed")] == ["check before a claim"]
    stage.able = True
    await stage.claimed()


async def test_a_check_that_outlives_its_link_claims_nothing(stage: Stage) -> None:
    """The delivery went with the link; the next link begins afresh."""
    stage.may_answer.clear()
    stage.offer()
    await stage.until(lambda: stage.agent.parts.checks.running, "the check")
    stage.link_down()
    stage.may_answer.set()
    await stage.until(lambda: not stage.agent.parts.checks.running, "its end")
    await stage.turned()
    assert stage.said("claim") == []
    assert stage.did == [("consume", (QUEUE,)), ("cancel",)]
    stage.link_up()
    await stage.until(lambda: stage.did[-1] == ("consume", (QUEUE,)), "that it consumes again")


async def test_an_offer_that_the_broker_takes_back_while_it_is_checked_is_no_more(stage: Stage) -> None:
    """It is settled by nobody, and the agent consumes again."""
    stage.may_answer.clear()
    delivery = stage.offer()
    await stage.until(lambda: stage.agent.parts.checks.running, "the check")
    stage.link.put(inputs.DeliveryLost(delivery=delivery))
    stage.may_answer.set()
    await stage.until(
        lambda: stage.did[-1] == ("consume", (QUEUE,)) and not stage.agent.parts.checks.running, "a new round"
    )
    await stage.turned()
    assert not [order for order in stage.did if order[0] == "settle"]
    assert stage.said("claim") == []


async def test_an_unwell_machine_gives_the_offer_back_and_tells_why(stage: Stage, log: Any) -> None:
    """… once; and it takes work again when it is well."""
    stage.unwell = ("disk low",)
    delivery = stage.offer()
    await stage.until(lambda: ("settle", delivery, "give_back") in stage.did, "it back")
    await stage.until(lambda: stage.status.state == "unwell", "its status")
    assert stage.status.reasons == ("disk low",)
    assert [entry["reasons"] for entry in log("unwell")] == [("disk low",)]
    await stage.agent.parts.checks.tell_health()
    await stage.turned()
    assert len(log("unwell")) == 1
    stage.unwell = ()
    await stage.agent.parts.checks.tell_health()
    await stage.until(lambda: stage.did[-1] == ("consume", (QUEUE,)), "that it consumes again")
    assert len(log("well_again")) == 1
    await stage.until(lambda: stage.status.state == "ready", "its status")


async def test_a_claim_names_the_agent_and_its_folder(stage: Stage) -> None:
    """By which its master knows it again."""
    await stage.begin()
    await stage.claimed()
    (claim,) = stage.said("claim")
    assert (claim.agent, claim.instance, claim.address) == ("a1", stage.instance.uuid, stage.link.address)


async def test_each_claim_is_a_session_of_its_own(begin: Begin) -> None:
    """By its name, which no other agent's session has either."""
    stage = await begin(slots=2).begin()
    sessions = {await stage.held(), await stage.claimed()}
    assert len({uuid.UUID(session) for session in sessions}) == 2


async def test_an_agent_that_can_seal_takes_what_must_be_sealed(stage: Stage) -> None:
    """Its claim has a key."""
    await stage.begin()
    stage.offer(seal=True)
    await stage.until(lambda: stage.said("claim"), "the claim")
    assert stage.said("claim")[0].key


@pytest.mark.parametrize("what", ["OfferDelivered", "MachineChecked"])
async def test_an_offer_that_cannot_be_handled_is_buried(stage: Stage, log: Any, what: str) -> None:
    """Else it would stay in hand, and keep all others away."""
    handle = stage.agent.machine.handle

    def fails(input: Any, now: float) -> Any:
        if type(input).__name__ == what:
            stage.agent.machine.handle = handle  # type: ignore[method-assign]
            raise RecursionError("planted")
        return handle(input, now)

    stage.agent.machine.handle = fails  # type: ignore[method-assign]
    delivery = stage.offer()
    await stage.until(
        lambda: ("send_to_dead", delivery, "cannot be handled: RecursionError") in stage.did, "its burial"
    )
    assert [entry["part"] for entry in log("part_failed")] == ["agent"]
    await stage.claimed()


# ---- messages


async def test_each_message_goes_where_it_belongs(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue to the queues only, a greeting to both, what is of a session to the machine only."""
    heard: list[str] = []
    handle = stage.agent.machine.handle
    monkeypatch.setattr(stage.agent.parts.queues, "catalogue", lambda message: heard.append(f"queues: {message.t}"))
    monkeypatch.setattr(stage.agent.parts.queues, "master_speaks", lambda m, i: heard.append(f"queues: {m} {i}"))

    def note(input: Any, now: float) -> Any:
        if isinstance(input, inputs.MessageReceived):
            heard.append(f"machine: {input.message.t}")
        return handle(input, now)

    stage.agent.machine.handle = note  # type: ignore[method-assign]
    stage.hear(Catalogue(master="m", incarnation="I1", made=1, signatures=()))
    stage.hear(Alive(master="m", incarnation="I1"))
    stage.hear(Ping(session="s", incarnation="I1", stored=0))
    stage.steer("drain")
    await stage.turned()
    assert heard == ["queues: catalogue", "queues: m I1", "machine: alive", "machine: ping"]


async def test_what_fails_is_said_and_the_loop_goes_on(stage: Stage, log: Any) -> None:
    """Whatever it is: a call, an input, an action."""

    def fails() -> None:
        raise ValueError("planted")

    stage.agent._put(fails)
    await stage.turned()
    stage.link.fails = OSError("planted, too")
    stage.offer()
    await stage.until(lambda: any(entry["part"] == "Publish" for entry in log("part_failed")), "what failed")
    assert {entry["part"] for entry in log("part_failed")} == {"agent", "Publish"}
    stage.link.fails = None
    stage.steer("drain")
    await stage.until(lambda: ("settle", 1, "give_back") in stage.did, "that it goes on")


# ---- the link goes and comes


def resumed() -> Recovered:
    """A build that an earlier process ran."""
    offer = Offer(
        offer="o0", request="br-0", master="m", user=USER, ticket="t", run=1, signature="any", kind="build",
        published=1.0, builddir="b",
    )  # fmt: skip
    meta = SessionMeta(session="s0", offer=offer, slot=0, resumes=True, granted=True)
    return Recovered(meta=meta, alive=True, last_seq=0)


async def test_each_link_is_told_of_what_runs_and_a_lost_one_of_nothing(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs, runs on: no order for its keeper is given when the link goes."""
    monkeypatch.setattr(FakeSessions, "found", (resumed(),))
    stage = begin()
    stage.link_up()
    await stage.until(lambda: len(stage.said("resume")) == 1, "the resume")
    await stage.until(lambda: stage.status.slots[0].state == "held", "the status")
    stage.link_down()
    await stage.turned()
    told = len(stage.link.orders)
    stage.agent.telling.tell()
    assert len(stage.link.orders) == told, "no status without a link"
    assert stage.sessions.orders == []
    assert stage.agent.parts.figures.links_lost == 1
    stage.link_up()
    await stage.until(lambda: len(stage.said("resume")) == 2, "the resume")


async def test_orders_count_for_a_link_only_when_the_machine_knows_of_it(stage: Stage) -> None:
    """`enter` comes before the first order of a link, and its status at once."""
    stage.link_down()
    await stage.turned()
    del stage.link.orders[:]
    stage.link_up()
    await stage.turned()
    assert stage.link.entered
    assert stage.link.orders[0][0] == "consume"
    assert "status" in [order[0] for order in stage.link.orders]


async def test_queues_hear_of_links(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists is a broker's matter."""
    heard: list[str] = []
    monkeypatch.setattr(stage.agent.parts.queues, "link_up", lambda: heard.append("up"))
    monkeypatch.setattr(stage.agent.parts.queues, "link_down", lambda: heard.append("down"))
    stage.link_down()
    stage.link_up()
    await stage.turned()
    assert heard == ["down", "up"]


async def test_the_machine_is_ticked_when_something_is_due(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one timer at a time. It is never later than the deadline; where it is earlier it is set anew at its
    time, and not with each message that moves the deadline on."""
    await stage.claimed()
    await stage.turned()
    lifetime = type(stage.agent.parts.lifetime)
    first, deadline = stage.agent._timer, stage.agent.machine.deadline
    assert first is not None
    assert first.when() == deadline
    stage.link.put(inputs.Tick())
    await stage.turned()
    assert stage.agent._timer is first
    assert not first.cancelled()

    soon = asyncio.get_running_loop().time() + 0.05
    monkeypatch.setattr(lifetime, "deadline", property(lambda self: soon))
    stage.link.put(inputs.Tick())
    await stage.turned()
    second = stage.agent._timer
    assert first.cancelled()
    assert second is not None
    assert second.when() == soon

    monkeypatch.setattr(lifetime, "deadline", property(lambda self: None))
    stage.link.put(inputs.Tick())
    await stage.turned()
    assert stage.agent._timer is second
    await stage.until(lambda: stage.agent._timer is not second, "it was set anew at its time")
    assert stage.agent._timer is not None
    assert stage.agent._timer.when() == stage.agent.machine.deadline


# ---- orders of people


async def test_leave_ends_what_is_held_first(stage: Stage, log: Any) -> None:
    """It takes nothing new, tells what it waits for, and exits after the release, when all has arrived."""
    session = await stage.held()
    stage.agent.leave("SIGTERM")
    await stage.until(lambda: stage.status.state == "draining", "the status")
    assert stage.status.reasons == ("waits for br-1 of master m: no command was started yet",)
    assert [entry["reason"] for entry in log("draining")] == ["SIGTERM"]
    stage.hear(Release(session=session, incarnation="I1"))
    assert await stage.ended() is EndReason.LEFT
    assert stage.status.state == "leaving"
    assert stage.sessions.orders[-1] == ("idle",)
    assert stage.agent.asked_to_leave()


async def test_leave_twice_kills_what_is_held(stage: Stage, log: Any) -> None:
    """By signals, that is; its bridge is told."""
    session = await stage.held()
    stage.agent.leave("SIGTERM")
    stage.agent.leave("SIGINT")
    assert await stage.ended() is EndReason.LEFT
    assert ("close", session, False) in stage.sessions.orders
    assert [gone.reason for gone in stage.said("gone")] == ["killed"]
    assert [entry["reason"] for entry in log("stopping")] == ["SIGINT"]


async def test_an_operator_who_asks_twice_kills_nothing(stage: Stage) -> None:
    """`leave` of an agent that leaves changes nothing; `stop` does."""
    session = await stage.held()
    stage.steer("leave")
    stage.steer("leave")
    await stage.turned()
    assert stage.agent.order is Order.LEAVE
    assert ("close", session, False) not in stage.sessions.orders
    stage.steer("stop", reason="now")
    assert await stage.ended() is EndReason.LEFT
    assert ("close", session, False) in stage.sessions.orders


async def test_a_pause_lasts_until_resumed_also_across_restarts(begin: Begin, tmp_path: Path) -> None:
    """Its reason is in the status; the file goes with the resume."""
    stage = await begin().begin()
    stage.steer("drain", reason="new disk")
    await stage.until(lambda: stage.status.state == "paused", "the status")
    assert stage.status.reasons == ("asked by an operator: new disk",)
    stage.agent.restart("SIGUSR2")
    assert await stage.ended() is EndReason.RESTART
    await stage.close()
    again = Stage(tmp_path / "0")
    again.link_up()
    again.link.put(inputs.QueuesKnown(queues=frozenset({QUEUE})))
    await again.until(lambda: any(order[0] == "status" for order in again.link.orders), "a status")
    await again.turned()
    assert again.status.state == "paused"
    assert again.status.reasons == ("asked by an operator: new disk",)
    assert again.did == []
    again.steer("resume")
    await again.until(lambda: ("consume", (QUEUE,)) in again.did, "that it consumes")
    assert not (tmp_path / "0" / "state" / "paused.json").exists()
    await again.close()


async def test_a_resume_ends_a_leave(stage: Stage) -> None:
    """As long as it has not left."""
    await stage.held()
    stage.steer("leave")
    stage.steer("resume")
    await stage.turned()
    assert stage.agent.order is Order.WORK
    stage.agent.restart("SIGUSR2")
    assert await stage.ended() is EndReason.RESTART
    assert not stage.agent.asked_to_leave()


async def test_orders_for_another_instance_are_not_obeyed(stage: Stage) -> None:
    """An order names an instance, or everybody."""
    stage.steer("drain", instance="another")
    await stage.turned()
    assert stage.agent.order is Order.WORK
    stage.steer("drain", instance=stage.instance.uuid)
    await stage.turned()
    assert stage.agent.order is Order.PAUSE


async def test_a_restart_leaves_its_keepers_and_hears_what_is_asked_meanwhile(stage: Stage) -> None:
    """A SIGTERM that comes while it ends is for the next process."""
    await stage.held()
    stage.link.flushed.clear()
    stage.steer("restart")
    await stage.until(lambda: ("detach",) in stage.sessions.orders, "the end")
    stage.agent.leave("SIGTERM")
    stage.link.flushed.set()
    assert await stage.ended() is EndReason.RESTART
    assert ("idle",) not in stage.sessions.orders
    assert stage.agent.asked_to_leave()


async def test_probe_asks_for_probes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a task of its own."""
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()

    monkeypatch.setattr(stage.agent.parts.probing, "ask", ask)
    stage.steer("probe")
    await asyncio.wait_for(asked.wait(), DEADLINE)


async def test_an_agent_for_one_build_leaves_by_itself(begin: Begin, log: Any) -> None:
    """Once it holds one; a second reason stops nothing."""
    stage = await begin(exit_after_build=True, exit_after_idle=3600.0).begin()
    session = await stage.held()
    await stage.turned()
    assert stage.agent.order is Order.LEAVE
    assert [entry["reason"] for entry in log("draining")] == ["one build was asked for"]
    stage.hear(Start(session=session, incarnation="I1", command=command()))
    await stage.until(lambda: ("order", session, "run") in stage.sessions.orders, "the command")
    stage.hear(Release(session=session, incarnation="I1"))
    assert await stage.ended() is EndReason.LEFT


async def test_an_operator_keeps_an_agent_for_one_build_for_one_more(begin: Begin) -> None:
    """What it holds at the resume is no build to leave after; the next one is."""
    stage = await begin(exit_after_build=True).begin()
    session = await stage.held()
    await stage.turned()
    stage.steer("resume")
    await stage.turned()
    assert stage.agent.order is Order.WORK
    stage.hear(Release(session=session, incarnation="I1"))
    await stage.until(lambda: ("settle", 1, "ack") in stage.did, "its end")
    assert stage.agent.order is Order.WORK
    session = await stage.claimed()
    stage.hear(Grant(session=session, master="m", incarnation="I1", run=1, stored=0, ticket="t"))
    await stage.until(lambda: stage.agent.order is Order.LEAVE, "that it leaves")


# ---- the end


async def test_what_is_not_confirmed_in_time_is_left_and_said(
    stage: Stage, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is gone keeps no agent."""
    monkeypatch.setattr(loop, "FLUSH_TIMEOUT", 0.05)
    stage.link.flushed.clear()
    stage.link.unconfirmed = 3
    stage.agent.leave("SIGTERM")
    assert await stage.ended() is EndReason.LEFT
    assert [entry["publications"] for entry in log("messages_unconfirmed_at_exit")] == [3]


async def test_sessions_that_do_not_end_hold_a_stop_for_a_while_only(
    stage: Stage, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that cannot be killed: the agent says so, and fails, so that somebody looks."""
    monkeypatch.setattr(loop, "STOP_TIMEOUT", 0.1)
    await stage.held()
    stage.sessions.ended.clear()
    stage.steer("stop")
    assert await stage.ended() is EndReason.FAILED
    assert len(log("stop_forced")) == 1


async def test_a_machine_that_cannot_stop_is_left(stage: Stage, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with it."""
    monkeypatch.setattr(loop, "STOP_TIMEOUT", 0.1)

    def fails(input: Any, now: float) -> Any:
        raise RuntimeError("planted")

    stage.agent.machine.handle = fails  # type: ignore[method-assign]
    stage.steer("stop")
    assert await stage.ended() is EndReason.FAILED
    assert len(log("stop_forced")) == 1


async def test_a_part_that_breaks_ends_the_agent(stage: Stage, log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its parts it would be there and do nothing."""
    stage.agent._broken(RuntimeError("queues failed"))
    assert await stage.ended() is EndReason.FAILED
    assert [entry["reason"] for entry in log("agent_failed")] == ["queues failed"]


async def test_events_are_counted_with_their_bytes(stage: Stage) -> None:
    """Figures hear of each input and action."""
    session = await stage.held()
    stage.hear(Start(session=session, incarnation="I1", command=command()))
    stage.agent.parts.journal.read = lambda s, n: Event(session=s, seq=n, n=1, kind="stdout", data=b"12345")  # type: ignore[method-assign, return-value, assignment]
    stage.link.put(inputs.Journalled(session=session, seq=1))
    await stage.until(lambda: stage.said("event"), "the event")
    figures = stage.agent.parts.figures
    assert (figures.offers, figures.claims, figures.grants, figures.events, figures.event_bytes) == (1, 1, 1, 1, 5)
