"""What an operator tells one agent to do: beside its builds, from nobody else, and for as long as he is there."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import Accept, Claim, Gone, Ping, Release, Start
from contracts.timing import CLAIM_TIMEOUT, DIRECT_MAX
from worker_agent.core import actions, inputs
from worker_agent.core.session import OPERATORS_FOLDER

from .harness import Agent, command, direct_offer, offer


def held(agent: Agent) -> None:
    agent.told(direct_offer())
    agent.grant(master="op", user="desk")


def test_it_is_claimed_granted_and_released_without_a_queue() -> None:
    """There is nothing to be acknowledged or given back."""
    agent = Agent()
    agent.told(direct_offer())
    assert [claim.master for claim in agent.said(Claim)] == ["op"]
    agent.grant(master="op", user="desk")
    assert agent.kinds == ["Persist", "OpenSession", "Contact", "accept"]
    (opened,) = agent.of(actions.OpenSession)
    assert (opened.master, opened.slot) == (OPERATORS_FOLDER, 1), "beside the folders of masters and slots"
    assert agent.said(Accept)
    agent.hear(Start(session="s1", incarnation="I1", command=command()), "desk")
    assert agent.of(actions.RunCommand)
    agent.hear(Release(session="s1", incarnation="I1"), "desk")
    assert agent.kinds == ["Contact", "CloseSession"]


def test_builds_come_and_go_beside_it() -> None:
    agent = Agent()
    held(agent)
    assert not any(isinstance(action, actions.CancelConsumers) for action in agent.all)
    agent.offer(offer("o2"))
    agent.grant("s2")
    assert agent.states == ["held", "held"]
    assert [slot.direct for slot in agent.machine.slots()] == [False, True], "nobody counts it as room for builds"
    assert agent.machine.availability.taken == 1


@pytest.mark.parametrize("state", ["busy", "paused", "unwell", "claiming"])
def test_whoever_takes_no_builds_takes_an_operator(state: str) -> None:
    """Who came to mend the machine can mend it."""
    agent = Agent()
    if state == "busy":
        agent.held()
    elif state == "paused":
        agent.tell(inputs.Pause())
    elif state == "unwell":
        agent.tell(inputs.Wellness(reasons=("disk full",)))
    else:
        agent.deliver(offer("o9"))
    agent.told(direct_offer())
    assert len(agent.said(Claim)) == 1


def test_who_leaves_takes_none_and_waits_for_what_runs() -> None:
    agent = Agent()
    held(agent)
    agent.tell(inputs.Leave())
    assert not agent.of(actions.Exit)
    agent.told(direct_offer("o2"))
    assert agent.did == []
    agent.hear(Release(session="s1", incarnation="I1"), "desk")
    assert agent.of(actions.Exit)


def test_an_operators_offer_comes_by_no_queue() -> None:
    """Whoever put it there is told why nobody takes it."""
    agent = Agent()
    delivery = agent.deliver(direct_offer())
    assert agent.did == [
        actions.SendToDead(delivery=delivery, reason="an operator tells an offer to its agent (rule 26)")
    ]


@pytest.mark.parametrize("builds", [0, 2])
def test_so_many_at_once_and_each_once(builds: int) -> None:
    """It is said again until it is answered. Builds that the agent holds do not count."""
    agent = Agent(slots=2)
    for number in range(builds):
        agent.offer(offer(f"b{number}", request=f"br-{number}"))
        agent.grant(f"s{number + 1}")
    agent.all.clear()
    for number in range(1, DIRECT_MAX + 3):
        agent.told(direct_offer(f"o{number}"))
        agent.told(direct_offer(f"o{number}"))
    claims = [a for a in agent.all if isinstance(a, actions.Publish) and isinstance(a.message, Claim)]
    assert len(claims) == DIRECT_MAX
    agent.refuse(session=f"s{builds + 1}", master="op")  # of another user: nothing
    agent.wait(CLAIM_TIMEOUT)
    agent.told(direct_offer("o9"))
    assert agent.said(Claim), "those that nobody answers make room"
    assert not agent.of(actions.MasterSilent)


@pytest.mark.parametrize(
    ("wrong", "user"),
    [
        ({}, "thief"),
        ({"direct": False}, "desk"),
        ({"fencing": None}, "desk"),
        ({"kind": "command"}, "desk"),
    ],
)
def test_what_is_no_operators_offer_changes_nothing(wrong: dict[str, Any], user: str) -> None:
    agent = Agent()
    what = direct_offer(**wrong)
    agent.hear(what, user)
    reason = "an offer that is told to an agent is direct, a build and has a fencing"
    if user != "desk":
        reason = f"user {user} told an offer of user desk"
    assert agent.did == [actions.Reject(message=what, reason=reason)]


@pytest.mark.parametrize(("seals", "sealed", "claims"), [(True, True, 1), (False, False, 1), (False, True, 0)])
def test_a_sealed_one_is_left_by_an_agent_that_cannot_seal(seals: bool, sealed: bool, claims: int) -> None:
    """Its operator asks again, and gives up."""
    agent = Agent(seals=seals)
    agent.told(direct_offer(seal=sealed))
    assert len(agent.said(Claim)) == claims


def test_out_of_a_queue_it_goes_to_the_dead() -> None:
    """Its claim would be beside the slots, so nobody who may only offer work may make one."""
    agent = Agent()
    delivery = agent.offer(direct_offer())
    assert [action.delivery for action in agent.of(actions.SendToDead)] == [delivery]


@pytest.mark.parametrize("finished", [False, True])
def test_without_contact_it_ends_whether_it_runs_or_not(finished: bool) -> None:
    """An operator's program that was killed comes back no more, and nobody else asks for its session."""
    agent = Agent()
    held(agent)
    if finished:
        agent.hear(Start(session="s1", incarnation="I1", command=command()), "desk")
        agent.write((1, "started"), (1, "completed"))
        agent.confirm()
    agent.wait(100)
    agent.hear(Ping(session="s1", incarnation="I1", stored=0), "desk")
    agent.wait(119)
    assert agent.states == ["idle", "held"]
    agent.wait(2)
    assert [gone.reason for gone in agent.said(Gone)] == ["killed"]
    assert agent.states == ["idle"]


def test_a_master_cannot_speak_in_it() -> None:
    agent = Agent()
    held(agent)
    agent.hear(Start(session="s1", incarnation="I1", command=command()))
    assert agent.kinds == ["Reject"]


def test_out_of_contact_it_is_an_operators_program_that_is_missed() -> None:
    """As the alarm says."""
    agent = Agent()
    held(agent)
    agent.link_down()
    detail = "no contact with operator's program op for 120 s (strict fencing)"
    assert actions.Alarm(event="session_fenced", detail=detail, session="s1") in agent.wait(121.0)
