"""What the bridge says and asks for, each field of it: who reads it must find what it was made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.messages import (
    AgentLock,
    Alive,
    Capability,
    Command,
    Event,
    Grant,
    Hold,
    Interrupt,
    Later,
    Marker,
    Offer,
    Pull,
    Refuse,
    Release,
    Replay,
    Start,
    Stored,
)
from contracts.timing import ACCEPT_TIMEOUT, LIVES, REOFFER_AFTER
from master_bridge.core.actions import (
    Abandoned,
    Ack,
    Alarm,
    Attach,
    CancelledEarlier,
    CheckRequest,
    DeadLetter,
    DeadOffer,
    Deliver,
    Lost,
    PublishOffer,
    Send,
    ServeData,
    StateChanged,
    Terms,
)
from master_bridge.core.inputs import Done, InterruptCommand, Keep, RequestChecked, Reroute, StartCommand, Withdraw
from master_bridge.core.placing import COLLECTED_MAX, OFFERS_KEPT
from master_bridge.core.rollcall import RECHECK

from .scene import MAKE, TEST, TICKETS, WORKER, Agent, Scene, executing, sent

LOCK = AgentLock(name="disk", capacity=2)
NAMED = replace(TEST, step="tests")
ALL: dict[str, Any] = {
    "kind": "command", "signature": "gtk", "builddir": "linux", "title": "linux #1: compile", "builder": "linux",
    "build_number": 1, "locks": (LOCK,), "priority": 7, "fencing": 60.0, "step": "compile", "commands": (MAKE, NAMED),
}  # fmt: skip


def offer_ticket(scene: Scene, request: str = "br-1/step-1", *, run: int = 4, signature: str = "gtk") -> str:
    kind: Any = "command" if "/" in request else "build"
    return TICKETS.for_offer(kind, request=request, signature=signature, run=run, made=1e9 + scene.now)


def grant_ticket(agent: Agent, at: float, signature: str = "gtk") -> str:
    return TICKETS.for_grant(
        request=agent.request, signature=signature, run=agent.run, session=agent.session, user=agent.user, made=1e9 + at
    )


def started(n: int, prepared: Any) -> Command:
    return Command(n=n, name=prepared.name, args=prepared.args, digest=prepared.digest, step=prepared.step)


# ---- offers


def test_an_offer_has_all_that_was_sought() -> None:
    """With who offers it, since when, and a ticket that proves it."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", run=4, **ALL)
    (published,) = sent(scene.last, PublishOffer)
    assert published == PublishOffer(
        offer=Offer(
            offer="o-1",
            request="br-1/step-1",
            master="m",
            user="bridge",
            ticket=offer_ticket(scene),
            run=4,
            signature="gtk",
            kind="command",
            ask=False,
            published=1e9 + scene.now,
            builddir="linux",
            title="linux #1: compile",
            builder="linux",
            build_number=1,
            locks=(LOCK,),
            fencing=60.0,
            commands=(started(1, MAKE), started(2, NAMED)),
        ),
        priority=7,
    )
    assert scene.last[-1] == StateChanged(request="br-1/step-1", state="waiting")


def test_a_sealed_offer_carries_no_command_and_lets_its_agent_ask() -> None:
    """Nobody's key is known yet."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", run=4, **{**ALL, "seal": True})
    offer = sent(scene.last, PublishOffer)[0].offer
    assert (offer.seal, offer.ask, offer.commands) == (True, True, ())


def test_what_may_have_run_before_lets_its_agent_ask() -> None:
    """A repeated request's first offer, and each request's second."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", **{**ALL, "repeated": True})
    assert sent(scene.last, PublishOffer)[0].offer.ask
    scene.seek("br-2/step-1", **ALL)
    assert not sent(scene.last, PublishOffer)[0].offer.ask
    scene.relink()
    again = [published.offer for published in sent(scene.all, PublishOffer) if published.offer.request == "br-2/step-1"]
    scene.settle()
    again = [published.offer for published in sent(scene.all, PublishOffer) if published.offer.request == "br-2/step-1"]
    assert [offer.ask for offer in again] == [False, True]


def test_an_offer_is_made_again_after_as_long_as_it_has_waited() -> None:
    """It may be lost unseen; the wait doubles each time, and is a quarter of a minute or so at least."""
    scene = Scene()
    scene.offered()
    begun = scene.now
    times = []
    for _ in range(3):
        before = len(sent(scene.all, PublishOffer))
        while len(sent(scene.all, PublishOffer)) == before:
            scene.wait(1.0)
        times.append(scene.now - begun)
    first, second, third = times
    assert first == pytest.approx(REOFFER_AFTER, abs=1.5)
    assert second == pytest.approx(2 * REOFFER_AFTER, abs=3)
    assert third == pytest.approx(4 * REOFFER_AFTER, abs=6)


def test_only_so_many_offers_of_a_request_may_be_claimed() -> None:
    """Each link-up makes one; the oldest are refused, and so removed."""
    scene = Scene()
    first = scene.offered()
    for _ in range(OFFERS_KEPT - 1):
        scene.relink()
        scene.settle()
    work = scene.machine._parts.placing.works["br-1"]
    assert len(work.offers) == OFFERS_KEPT
    assert first in work.offers
    scene.relink()
    scene.settle()
    assert len(work.offers) == OFFERS_KEPT
    assert first not in work.offers
    agent = Agent("a")
    scene.says(agent, agent.claim(first))
    (refuse,) = [send.message for send in sent(scene.last, Send)]
    assert refuse == Refuse(session="s-a", master="m", re="claim", reason="a newer offer has replaced this one")


def test_a_request_that_moves_is_offered_anew_and_claims_of_before_are_refused() -> None:
    """By its new signature; the same one changes nothing."""
    scene = Scene()
    earlier = scene.offered()
    scene.do(Reroute(request="br-1", signature="gtk", seal=False))
    assert scene.last == []
    scene.do(Reroute(request="br-1", signature="wx", seal=True))
    (published,) = sent(scene.last, PublishOffer)
    assert (published.offer.signature, published.offer.seal) == ("wx", True)
    assert published.offer.ticket == TICKETS.for_offer(
        "build", request="br-1", signature="wx", run=1, made=1e9 + scene.now
    )
    agent = Agent("a")
    scene.says(agent, agent.claim(earlier))
    assert [send.message.t for send in sent(scene.last, Send)] == ["refuse"]  # type: ignore[attr-defined]


# ---- grants


def test_a_grant_says_what_its_session_runs_for() -> None:
    """With a ticket that proves it, and up to where events are stored; the accept has its time."""
    scene = Scene()
    agent = Agent("a", run=3)
    offer = scene.offered(run=3)
    delivery = scene.says(agent, agent.claim(offer))
    assert sent(scene.last, Send) == [
        Send(
            message=Grant(
                session="s-a", master="m", incarnation="inc-1", run=3, ticket=grant_ticket(agent, scene.now), stored=0
            ),
            address=agent.address,
        )
    ]
    assert scene.last[-1] == StateChanged(request="br-1", state="granted")
    assert Ack(delivery=delivery) not in scene.last
    assert scene.machine.deadline is not None
    again = [send for send in sent(scene.wait(ACCEPT_TIMEOUT + 0.1), Send) if isinstance(send.message, Grant)]
    assert len(again) == 1


def test_a_sealed_grant_has_what_its_seal_is_made_of() -> None:
    """The key of the claim, and whose it is."""
    scene = Scene()
    agent = Agent("a")
    offer = scene.offered(seal=True)
    key = "ab" * 32
    scene.says(agent, agent.claim(offer).model_copy(update={"key": key}))
    (send,) = sent(scene.last, Send)
    assert send.terms == Terms(key=key, user=agent.user, request="br-1", signature="gtk")


def test_an_agent_without_a_key_leaves_what_is_sealed_to_others() -> None:
    """It is told why, once to the operators."""
    scene = Scene()
    agent, other = Agent("a"), Agent("b")
    offer = scene.offered(seal=True)
    for each in (agent, agent, other):
        delivery = scene.says(each, each.claim(offer))
        (send,) = sent(scene.last, Send)
        assert isinstance(send.message, Later)
        assert (send.message.session, send.message.request, send.message.master) == (each.session, "br-1", "m")
        assert send.message.reason.startswith(f"br-1 is sealed, and agent {each.name} gives no key")
        assert scene.acked() == [delivery]
    alarms = sent(scene.all, Alarm)
    assert [(alarm.event, alarm.request) for alarm in alarms] == [("amqp.no_key", "br-1")] * 2
    assert alarms[0].detail.startswith("br-1 is sealed, and agent a gives no key")


def test_the_agent_that_accepts_is_given_to_buildbot_as_it_told_itself() -> None:
    """With since when it has the session."""
    scene = Scene()
    agent = Agent("a")
    offer = scene.offered()
    scene.says(agent, agent.claim(offer))
    granted = scene.now
    scene.wait(0.5)
    scene.says(agent, agent.accept())
    (attach,) = sent(scene.last, Attach)
    assert (attach.request, attach.adopted) == ("br-1", False)
    holder = attach.holder
    assert (holder.session, holder.agent, holder.instance, holder.address) == ("s-a", "a", "i-a", agent.address)
    assert (holder.capabilities, holder.worker) == ((Capability(name="gtk", version="3"),), WORKER)
    assert holder.since == 1e9 + granted
    assert scene.last[-1] == StateChanged(request="br-1", state="held")


# ---- refusals


def test_who_comes_second_is_refused_with_the_reason() -> None:
    """A claim is settled by that; its agent goes on to the next offer."""
    scene = Scene()
    offer = scene.offered()
    first, second = Agent("a"), Agent("b")
    scene.says(first, first.claim(offer))
    delivery = scene.says(second, second.claim(offer))
    assert scene.last == [
        Send(
            message=Refuse(session="s-b", master="m", re="claim", reason="another session holds its build request"),
            address=second.address,
        ),
        Ack(delivery=delivery),
    ]


def test_who_resumes_beside_a_holder_is_refused_for_good() -> None:
    """The next resume of it as well."""
    scene = Scene()
    scene.held(Agent("a"))
    second = Agent("b")
    for _ in range(2):
        delivery = scene.says(second, second.resume())
        (send,) = sent(scene.last, Send)
        assert isinstance(send.message, Refuse)
        assert (send.message.re, send.message.session, send.address) == ("resume", "s-b", second.address)
        assert delivery in scene.acked()
    assert isinstance(send.message, Refuse)
    assert send.message.reason == "this session was given up"


def test_so_many_claims_are_collected_and_more_are_told_to_come_later() -> None:
    """A command may run already: it is given to a resume first."""
    scene = Scene()
    scene.settle()
    scene.seek("br-1/step-1", run=1, **ALL)
    offer = sent(scene.last, PublishOffer)[0].offer.offer
    scene.relink()
    agents = [Agent(f"a{number}", request="br-1/step-1") for number in range(COLLECTED_MAX + 1)]
    for agent in agents:
        delivery = scene.says(agent, agent.claim(offer))
        late = agent is agents[-1]
        assert [send.message.t for send in sent(scene.last, Send)] == (["later"] if late else [])  # type: ignore[attr-defined]
        assert scene.acked() == ([delivery] if late else [])
    again = scene.says(agents[0], agents[0].claim(offer))
    assert scene.last == [Ack(delivery=again)]
    scene.settle()
    told = [(send.message.t, send.address) for send in sent(scene.last, Send)]  # type: ignore[attr-defined]
    refused = [address for kind, address in told if kind == "refuse"]
    assert ("grant", agents[0].address) in told
    assert refused == [agent.address for agent in agents[1:-1]]


# ---- commands


def test_a_started_command_is_numbered_and_told_whole() -> None:
    """To the session's present address, in the name of this incarnation."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    for n, prepared in enumerate((MAKE, NAMED), 1):
        scene.do(StartCommand(request="br-1", command=prepared))
        assert scene.last == [
            Send(message=Start(session="s-a", incarnation="inc-1", command=started(n, prepared)), address=agent.address)
        ]


def test_an_interrupt_is_told_with_its_reason_and_again_after_a_resume() -> None:
    """Unless the command has completed, or there is no such one."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE, TEST])
    scene.do(InterruptCommand(request="br-1", n=1, reason="enough"))
    interrupt = Send(message=Interrupt(session="s-a", incarnation="inc-1", n=1, reason="enough"), address=agent.address)
    assert scene.last == [interrupt]
    scene.do(InterruptCommand(request="br-1", n=0, reason="enough"))
    assert scene.last == []
    scene.says(agent, agent.event(1, n=2, kind="completed"))
    scene.do(InterruptCommand(request="br-1", n=2, reason="enough"))
    assert scene.last == []
    scene.says(agent, agent.resume(executing(1), executing(2, completed=True)))
    scene.says(agent, agent.accept())
    assert scene.to(agent) == ["start", "interrupt"]
    assert interrupt in scene.last


def test_a_pull_is_served_with_all_that_it_asks_for() -> None:
    """Of a command that there is."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    delivery = scene.says(agent, Pull(session="s-a", n=1, offset=5, length=7))
    assert scene.last == [
        Ack(delivery=delivery),
        ServeData(request="br-1", session="s-a", n=1, offset=5, length=7, address=agent.address),
    ]
    delivery = scene.says(agent, Pull(session="s-a", n=2, offset=5, length=7))
    assert scene.last == [Ack(delivery=delivery)]


# ---- events


def test_an_event_is_delivered_once_and_acknowledged_when_it_is_stored() -> None:
    """What was seen is acknowledged at once, and its agent told up to where all is stored."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    event = agent.event(1, data=b"x")
    first = scene.says(agent, event)
    assert scene.last == [Deliver(request="br-1", event=event)]
    again = scene.says(agent, event)
    assert scene.last == [Ack(delivery=again)]
    scene.store(agent, 1)
    assert scene.acked() == [first]
    told = [send for send in sent(scene.wait(1.0), Send) if isinstance(send.message, Stored)]
    assert told == [Send(message=Stored(session="s-a", incarnation="inc-1", stored=1), address=agent.address)]


def test_a_gap_asks_for_a_replay_once_a_second() -> None:
    """From the first event on that is not stored."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    replay = Send(message=Replay(session="s-a", incarnation="inc-1", stored=0), address=agent.address)
    delivery = scene.says(agent, agent.event(2))
    assert scene.last == [Ack(delivery=delivery), replay]
    scene.says(agent, agent.event(3))
    assert replay not in scene.last
    assert [send for send in sent(scene.wait(1.1), Send) if isinstance(send.message, Replay)] == [replay]


def test_an_interrupt_of_an_earlier_incarnation_cancels_just_before_the_command_ends() -> None:
    """One that Buildbot asked for now is no news."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE, TEST])
    ended = agent.event(1, n=1, kind="completed", interrupted="enough")
    scene.says(agent, ended)
    assert scene.last == [
        CancelledEarlier(request="br-1", reason="enough"),
        Deliver(request="br-1", event=ended),
    ]
    scene.do(InterruptCommand(request="br-1", n=2, reason="enough"))
    scene.says(agent, agent.event(2, n=2, kind="completed", interrupted="enough"))
    assert not sent(scene.last, CancelledEarlier)


# ---- ends


@pytest.mark.parametrize("how", [Done, Withdraw])
def test_what_buildbot_wants_no_more_is_released(how: Any) -> None:
    """Its held deliveries are acknowledged."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    event = scene.says(agent, agent.event(1))
    scene.do(how(request="br-1"))
    assert Send(message=Release(session="s-a", incarnation="inc-1"), address=agent.address) in scene.last
    assert event in scene.acked()
    assert scene.state() == "none"
    scene.says(agent, agent.resume())
    assert scene.to(agent) == ["release"], "it did not hear it"


def test_what_is_kept_is_on_the_roll_again() -> None:
    """Its request is looked up; its agent hears nothing of it until it speaks."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    event = scene.says(agent, agent.event(1))
    scene.do(Keep(request="br-1"))
    assert sent(scene.last, Send) == []
    assert event in scene.acked()
    assert CheckRequest(request="br-1") in scene.last
    scene.seek(run=2)
    assert scene.to(agent) == ["grant"]
    scene.says(agent, agent.accept())
    (attach,) = sent(scene.last, Attach)
    assert attach.adopted


@pytest.mark.parametrize(("detail", "told"), [("", ""), ("disk full", " (disk full)")])
def test_an_agent_without_the_session_is_lost_with_its_reason(detail: str, told: str) -> None:
    """Buildbot is told, and which session it was."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    scene.says(agent, agent.gone("killed").model_copy(update={"detail": detail}))
    assert sent(scene.last, Lost) == [
        Lost(request="br-1", session="s-a", reason=f"agent a does not have the session any more: killed{told}")
    ]
    assert sent(scene.last, Send) == [], "it would answer with gone"


def test_what_has_cost_too_many_agents_is_given_up() -> None:
    """With its offer, for people, and the last reason."""
    scene = Scene()
    for number in range(LIVES):
        agent = scene.held(Agent(f"a{number}", run=number + 1), commands=[MAKE], priority=7)
        scene.says(agent, agent.gone("lost"))
        if number < LIVES - 1:
            assert not sent(scene.last, Abandoned)
    reason = (
        f"{LIVES} agents were lost while they ran it; the last: agent {agent.name} does not have the session any more: "
        "lost"
    )
    assert sent(scene.last, Abandoned) == [Abandoned(request="br-1", reason=reason)]
    (dead,) = sent(scene.last, DeadOffer)
    offer = sent(scene.all, PublishOffer)[-1].offer.model_copy(update={"offer": dead.offer.offer, "ask": True})
    assert dead == DeadOffer(offer=offer, reason=reason, priority=7)
    assert offer.run == LIVES
    assert not sent(scene.last, Lost)


# ---- the roll


def test_a_noted_session_is_looked_up_held_and_told_so() -> None:
    """Its agent knows then that somebody remembers it; the request is looked up again every half minute."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    scene.says(agent, agent.resume(executing(1)))
    assert scene.last == [CheckRequest(request="br-1")]
    scene.do(RequestChecked(request="br-1", complete=False))
    hold = Send(message=Hold(session="s-a", master="m", request="br-1"), address=agent.address)
    assert scene.last == [hold]
    delivery = scene.says(agent, agent.resume(executing(1)))
    assert hold in scene.last
    assert delivery not in scene.acked()
    assert CheckRequest(request="br-1") in scene.wait(RECHECK + 0.1)


def test_a_session_of_a_complete_request_is_refused() -> None:
    """Nobody will ask for it any more; later words of it are refused, too."""
    scene = Scene()
    scene.settle()
    agent = Agent("a")
    delivery = scene.says(agent, agent.resume())
    scene.do(RequestChecked(request="br-1", complete=True))
    assert sent(scene.last, Send) == [
        Send(
            message=Refuse(session="s-a", master="m", re="resume", reason="its build request is complete"),
            address=agent.address,
        )
    ]
    assert delivery in scene.acked()


def test_of_two_sessions_the_later_run_is_adopted_and_the_other_learns_whose_it_is() -> None:
    """By name and run."""
    scene = Scene()
    scene.settle()
    older, newer = Agent("a", run=1), Agent("b", run=2)
    for agent in (newer, older):
        scene.says(agent, agent.resume())
    scene.seek(run=3)
    messages = {send.address: send.message for send in sent(scene.last, Send)}
    refuse, grant = messages[older.address], messages[newer.address]
    assert isinstance(refuse, Refuse)
    assert refuse.reason == "run 2 of this build request is held by agent b"
    assert isinstance(grant, Grant)
    assert (grant.session, grant.run) == ("s-b", 3)


# ---- who may say it


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"master": "other"}, "it is for master 'other', this is 'm'"),
        ({"address": "somewhere"}, "'somewhere' is not an agent's address (agent.<user>.<instance>.<nonce>)"),
        ({"address": "agent.u-b.i-a.1"}, "user u-a gave the address agent.u-b.i-a.1, which is user u-b's"),
        ({"request": "br-2"}, "session s-a is one of request br-1, not br-2"),
        ({"instance": "i-b"}, "session s-a is one of instance i-a, not i-b"),
    ],
)
def test_what_is_not_in_order_is_put_aside_with_its_reason(change: dict[str, Any], reason: str) -> None:
    """And whose it was; it changes nothing."""
    scene = Scene()
    agent = scene.held(Agent("a"))
    delivery = scene.says(agent, agent.resume().model_copy(update=change))
    assert scene.last == [DeadLetter(delivery=delivery, reason=reason, user="u-a"), Ack(delivery=delivery)]


def test_nobody_speaks_for_anothers_session() -> None:
    """Whatever they say of it."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=[MAKE])
    thief = Agent("b", session=agent.session)
    reason = "user u-b spoke for session s-a, which is user u-a's"
    for message in (thief.resume(), thief.gone(), agent.event(1), Pull(session="s-a", n=1, offset=0, length=1)):
        delivery = scene.hear(message, "u-b")
        assert scene.last == [DeadLetter(delivery=delivery, reason=reason, user="u-b"), Ack(delivery=delivery)]


def test_without_a_ticket_nothing_is_claimed() -> None:
    """Nor with one of another kind, or of another run."""
    scene = Scene()
    offer = scene.offered()
    agent = Agent("a")
    reason = "it shows no ticket of this master for a session s-a of br-1"
    other_run = Agent("a", run=2)
    for claim in (
        agent.claim(offer, ticket="nonsense"),
        agent.claim(offer, ticket=agent.granted),
        agent.claim(offer, ticket=other_run.offered),
        agent.resume(ticket=agent.offered),
        agent.accept(ticket=agent.offered),
    ):
        delivery = scene.says(agent, claim)
        assert scene.last == [DeadLetter(delivery=delivery, reason=reason, user="u-a"), Ack(delivery=delivery)]


def test_what_only_bridges_say_is_put_aside() -> None:
    """By its type."""
    scene = Scene()
    delivery = scene.hear(Alive(master="m", incarnation="inc-1"), "u-a")
    assert scene.last == [
        DeadLetter(delivery=delivery, reason="a message of type 'alive' is not for a bridge", user="u-a"),
        Ack(delivery=delivery),
    ]
    delivery = scene.hear(Marker(incarnation="inc-1", k=1), "u-a")
    reason = "user u-a sent a marker: only this bridge sends markers, to itself"
    assert scene.last == [DeadLetter(delivery=delivery, reason=reason, user="u-a"), Ack(delivery=delivery)]


def test_a_marker_of_an_earlier_incarnation_is_only_acknowledged() -> None:
    """It was on its way while the master restarted."""
    scene = Scene()
    delivery = scene.hear(Marker(incarnation="inc-0", k=1), "bridge")
    assert scene.last == [Ack(delivery=delivery)]


def test_events_of_a_session_that_is_over_are_acknowledged() -> None:
    """They are told again if need be."""
    scene = Scene()
    scene.settle()
    for message in (Event(session="s-x", seq=1, n=1, kind="stdout"), Pull(session="s-x", n=1, offset=0, length=1)):
        delivery = scene.hear(message, "u-a")
        assert scene.last == [Ack(delivery=delivery)]
