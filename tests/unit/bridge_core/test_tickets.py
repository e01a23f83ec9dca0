"""Rule 21: nothing is granted, noted or adopted without what the claimant was given."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import Accept, Claim, Grant, Hold, Message, Refuse, Resume
from contracts.trust.tickets import Tickets
from master_bridge.core import rollcall
from master_bridge.core.actions import Ack, CheckRequest, DeadLetter, PublishOffer, Send
from master_bridge.core.inputs import Withdraw
from tests.unit.bridge_core.scene import MAKE, TICKETS, Agent, Scene, executing, sent

OTHERS = Tickets(b"the secret of somebody else ....", master="m")


def rejected(scene: Scene) -> str:
    """The reason; nothing else may have happened."""
    letter, ack = scene.last
    assert isinstance(letter, DeadLetter)
    assert isinstance(ack, Ack)
    return letter.reason


def made_up(agent: Agent) -> list[str]:
    """What a thief has: nothing, another master's, another session's, account's, request's, or a higher run."""
    mine: dict[str, Any] = {"request": agent.request, "signature": "any", "run": agent.run, "made": 1.0}
    grant = {**mine, "session": agent.session, "user": agent.user}
    return [
        "grant:1:0:0:forged",
        OTHERS.for_grant(**grant),
        OTHERS.for_offer("command", **mine),
        TICKETS.for_grant(**{**grant, "session": "s-of-another"}),
        TICKETS.for_grant(**{**grant, "user": "u-other"}),
        TICKETS.for_grant(**{**grant, "request": "br-2"}),
        TICKETS.for_grant(**{**grant, "run": agent.run + 1}),
        TICKETS.for_offer("build", **mine),
    ]


@pytest.mark.parametrize("place", range(8))
def test_a_resume_without_its_ticket_is_not_granted(place: int) -> None:
    """Of a build that waits."""
    scene, thief = Scene(), Agent("thief")
    scene.offered()
    scene.says(thief, thief.resume(executing(), ticket=made_up(thief)[place]))
    assert "no ticket" in rejected(scene)
    assert scene.state() == "waiting"


@pytest.mark.parametrize("place", range(8))
def test_nor_is_it_noted_or_looked_up(place: int) -> None:
    """After a restart nobody but the agents says what there is."""
    scene, thief = Scene(), Agent("thief")
    for message in (thief.resume(ticket=made_up(thief)[place]), thief.accept(ticket=made_up(thief)[place])):
        scene.says(thief, message)
        assert "no ticket" in rejected(scene)
    assert not sent(scene.all, CheckRequest)
    assert scene.machine.requests() == ()


def test_the_highest_run_that_was_given_is_adopted_and_no_higher_one() -> None:
    """An invented run does not outbid the session that runs."""
    scene, agent, thief = Scene(), Agent("a", run=3), Agent("thief", run=2**53 - 1)
    scene.says(agent, agent.resume(executing()))
    scene.says(thief, thief.resume(executing(), ticket=agent.granted))
    assert "no ticket" in rejected(scene)
    scene.seek(run=4)
    scene.settle()
    assert [send.address for send in sent(scene.all, Send) if isinstance(send.message, Grant)] == [agent.address]


def test_of_equal_runs_the_one_that_was_granted_last_is_adopted() -> None:
    """Whoever had the request before cannot take it back by claiming to have done more."""
    scene, before, now = Scene(), Agent("before"), Agent("now")
    before.made, now.made = 1.0, 2.0
    before.epoch = 9
    scene.says(now, now.resume(executing()))
    scene.says(before, before.resume(executing(), executing(2), executing(3)))
    scene.seek()
    scene.settle()
    refused = [send.address for send in sent(scene.all, Send) if isinstance(send.message, Refuse)]
    granted = [send.address for send in sent(scene.all, Send) if isinstance(send.message, Grant)]
    assert (refused, granted) == ([before.address], [now.address])


def test_a_command_that_ran_at_once_resumes_with_its_offers_ticket_and_a_build_does_not() -> None:
    """Rule 15: only a command runs before a grant."""
    scene, agent = Scene(), Agent("a", request="br-1/step-1")
    scene.says(agent, agent.resume(executing(), ticket=agent.offered))
    assert not sent(scene.last, DeadLetter)
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.resume(executing(), ticket=agent.offered))
    assert "no ticket" in rejected(scene)


def test_the_grant_carries_a_ticket_that_the_session_then_shows() -> None:
    scene, agent = Scene(), Agent("a")
    offer = scene.offered()
    published = sent(scene.last, PublishOffer)[0].offer
    scene.says(agent, agent.claim(offer, ticket=published.ticket))
    [grant] = [send.message for send in sent(scene.last, Send) if isinstance(send.message, Grant)]
    scene.says(agent, agent.accept(ticket=published.ticket))
    assert "no ticket" in rejected(scene), "the offer's ticket is no grant"
    scene.says(agent, agent.accept(ticket=grant.ticket))
    assert scene.state() == "held"
    scene.says(agent, agent.resume(ticket=grant.ticket))
    assert not sent(scene.last, DeadLetter)


def test_a_granted_session_is_granted_again_with_the_same_ticket() -> None:
    scene, agent = Scene(), Agent("a")
    scene.says(agent, agent.claim(scene.offered()))
    first = [send.message for send in sent(scene.last, Send) if isinstance(send.message, Grant)]
    again = [send.message for send in sent(scene.wait(5.0), Send) if isinstance(send.message, Grant)]
    assert again
    assert {grant.ticket for grant in again} == {grant.ticket for grant in first}


@pytest.mark.parametrize("kind", [Claim, Resume, Accept])
def test_a_session_that_is_held_stays_as_it_is(kind: type[Message]) -> None:
    """By its own account, with a ticket of something else."""
    scene = Scene()
    agent = scene.held(Agent("a"), commands=(MAKE,))
    agent.epoch = 2
    messages: dict[Any, Any] = {
        Claim: agent.claim("o-1", "x"),
        Resume: agent.resume(ticket="x"),
        Accept: agent.accept(ticket="x"),
    }
    scene.says(agent, messages[kind])
    assert "no ticket" in rejected(scene)
    assert scene.machine.requests()[0].address == "agent.u-a.i-a.1"


@pytest.mark.parametrize(("ticket", "ask"), [("forged", False), (None, True)])
def test_only_who_had_it_makes_the_next_offer_ask(ticket: str | None, ask: bool) -> None:
    """Anybody may say `gone` of a request that he has heard of; that must not slow it down, nor push out real news."""
    scene, agent = Scene(), Agent("a", request="br-1/step-1")
    scene.says(agent, agent.gone("lost", ticket=ticket))
    scene.settle()
    scene.seek("br-1/step-1", kind="command", commands=(MAKE,))
    assert [action.offer.ask for action in sent(scene.last, PublishOffer)] == [ask]


def test_a_request_that_was_asked_for_once_is_asked_after_the_next_time() -> None:
    """Though it had no offer yet: whoever has it may have begun it before."""
    scene = Scene()
    scene.seek("br-1/step-1", kind="command", commands=(MAKE,))
    scene.do(Withdraw(request="br-1/step-1"))
    scene.settle()
    scene.seek("br-1/step-1", kind="command", commands=(MAKE,))
    assert [action.offer.ask for action in sent(scene.last, PublishOffer)] == [True]


def test_one_account_s_sessions_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has too many is told so; others are noted as ever."""
    monkeypatch.setattr(rollcall, "ACCOUNT_SESSIONS", 2)
    scene = Scene()
    for number in range(3):
        agent = Agent("a", session=f"s-{number}", request=f"br-{number}", user="greedy")
        scene.says(agent, agent.resume(executing()))
    [refuse] = [send.message for send in sent(scene.last, Send)]
    assert isinstance(refuse, Refuse)
    assert "account greedy has 2 sessions" in refuse.reason
    other = Agent("b", request="br-9")
    scene.says(other, other.resume(executing()))
    assert sent(scene.last, CheckRequest)
    assert len(scene.machine.requests()) == 3


def test_one_account_s_sessions_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollcall, "ACCOUNT_BYTES", 1000)
    scene = Scene()
    for number, size in enumerate((600, 300, 200)):
        agent = Agent("a", session=f"s-{number}", request=f"br-{number}", user="greedy")
        scene.hear(agent.resume(executing()), "greedy", size=size)
    assert [isinstance(action, DeadLetter) for action in scene.last if not isinstance(action, Send)] == [True, False]
    assert len(scene.machine.requests()) == 2
    assert not [send for send in sent(scene.last, Send) if isinstance(send.message, Hold)]
