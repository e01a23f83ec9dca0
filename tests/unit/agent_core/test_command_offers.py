"""Command offers: rules 15 to 18, and their rows of the agent's table."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import Accept, Claim, Command, Event, Gone, Interrupt, Offer, Resume
from contracts.timing import COMMAND_GRANT_WAIT, SILENCE_BEFORE_RESUME
from worker_agent.core import actions, inputs

from .harness import OPENED_AT, Agent, command, command_offer


def first_delivery(agent: Agent, what: Offer | None = None) -> int:
    """A first delivery, claimed; the claim is not confirmed yet."""
    return agent.offer(what or command_offer())


def running(agent: Agent, what: Offer | None = None) -> int:
    """A first delivery that runs without a grant."""
    delivery = first_delivery(agent, what)
    agent.confirm()
    agent.wait(1)
    assert "RunCommand" in agent.kinds
    return delivery


def finished(agent: Agent) -> int:
    """… and has completed, every event confirmed."""
    delivery = running(agent)
    agent.write((1, "started"), (1, "completed"))
    agent.confirm()
    return delivery


def test_rule_15_a_first_delivery_is_journalled_opened_and_claimed_but_not_run() -> None:
    """No command starts before the claim is confirmed, however long that takes."""
    agent = Agent()
    first_delivery(agent)
    assert agent.kinds == ["CancelConsumers", "Persist", "OpenSession", "claim"]
    assert not agent.of(actions.Persist)[0].meta.resumes
    assert "RunCommand" not in [type(action).__name__ for action in agent.wait(4.9)]


def test_rule_15_it_waits_one_second_for_its_grant_then_runs() -> None:
    """The master is alive and does not answer."""
    agent = Agent()
    first_delivery(agent)
    agent.confirm()
    assert agent.did == []
    assert agent.wait(0.9) == []
    agent.wait(0.2)
    assert agent.kinds == ["Persist", "RunCommand"]
    assert agent.of(actions.Persist)[0].meta.resumes
    assert agent.of(actions.RunCommand)[0].command == command(1)


def test_rule_15_a_grant_ends_the_wait() -> None:
    """Accepted, then run."""
    agent = Agent()
    first_delivery(agent)
    agent.confirm()
    agent.grant()
    assert agent.kinds == ["Persist", "accept", "Persist", "RunCommand"]


def test_rule_15_of_a_silent_master_it_runs_as_soon_as_the_claim_is_confirmed() -> None:
    """With or without a master; rule 19 does not park it."""
    agent = Agent()
    agent.offer(command_offer("o9", ask=True))
    agent.confirm()
    agent.wait(5)
    first_delivery(agent)
    agent.confirm()
    assert agent.kinds == ["Persist", "RunCommand"]


@pytest.mark.parametrize(
    ("fields", "delivery"),
    [
        ({}, {"redelivered": True}),
        ({}, {"deaths": 1}),
        ({}, {"repeated": True}),
        ({"ask": True}, {}),
        ({"published": OPENED_AT + 59}, {}),
        ({"fencing": 30.0}, {}),
    ],
    ids=["redelivered", "dead-lettered", "sent again", "asks", "older than the connection", "strict fencing"],
)
def test_rule_15_what_is_no_first_delivery_asks(fields: dict[str, Any], delivery: dict[str, Any]) -> None:
    """It is claimed as a build is: no keeper, no command before the grant."""
    agent = Agent()
    agent.offer(command_offer(**fields), **delivery)
    assert agent.kinds == ["CancelConsumers", "claim"]
    agent.confirm()
    assert agent.did == []


def test_rule_15_clocks_may_differ_by_a_minute() -> None:
    """Published 61 s after the connection was opened, by the bridge's clock: certainly not before, by any clock.

    A broker that was killed may hand out what another agent runs without its redelivered flag; such an offer is
    older than every connection, and must not pass for a first delivery.
    """
    agent = Agent()
    first_delivery(agent, command_offer(published=OPENED_AT + 61))
    assert "OpenSession" in agent.kinds


def test_an_unconfirmed_first_delivery_is_dropped_with_its_link() -> None:
    """Table: HELD, claim of a first delivery unconfirmed, link lost."""
    agent = Agent()
    first_delivery(agent)
    agent.link_down()
    assert agent.did == [actions.CloseSession(session="s1")]
    assert agent.states == ["idle"]


def test_a_confirmed_first_delivery_runs_when_the_link_is_lost() -> None:
    """No grant can come any more, and the claim is safe; it resumes."""
    agent = Agent()
    first_delivery(agent)
    agent.confirm()
    agent.link_down()
    assert agent.kinds == ["Persist", "RunCommand"]
    agent.link_up()
    assert [resume.session for resume in agent.said(Resume)] == ["s1"]


def test_a_claim_that_is_never_confirmed_parks_and_does_not_blame_the_master() -> None:
    """The broker is at fault."""
    agent = Agent()
    delivery = first_delivery(agent)
    agent.wait(5)
    assert agent.kinds == ["CloseSession", "Park", "Consume"]
    assert agent.of(actions.Park) == [actions.Park(delivery=delivery)]


def test_a_claim_that_the_broker_refuses_parks_and_runs_nothing() -> None:
    """Nobody was told of it."""
    agent = Agent()
    first_delivery(agent)
    [claim] = agent.of(actions.Publish)
    assert claim.token is not None
    agent.tell(inputs.Refused(token=claim.token))
    assert agent.kinds == ["MasterSilent", "CloseSession", "Park", "Consume"]


@pytest.mark.parametrize(("answer", "settled"), [("refuse", "Ack"), ("later", "Park")])
def test_an_answer_within_the_second_ends_a_claim_that_has_run_nothing(answer: str, settled: str) -> None:
    """As for a build's claim."""
    agent = Agent()
    first_delivery(agent)
    agent.confirm()
    (agent.refuse if answer == "refuse" else agent.later)()
    assert agent.kinds == ["CloseSession", settled, "Consume"]


def test_rule_6_a_refuse_of_the_claim_of_what_runs_makes_it_resume() -> None:
    """A restarted bridge in its roll-call window refuses all claims."""
    agent = Agent()
    running(agent)
    agent.refuse("claim")
    [resume] = agent.said(Resume)
    assert [(c.n, c.digest, c.completed) for c in resume.commands] == [(1, "d1", False)]


def test_its_events_are_published_before_any_grant() -> None:
    """Nothing waits for a master."""
    agent = Agent()
    running(agent)
    agent.write((1, "started"), (1, "stdout"))
    assert agent.seqs == [1, 2]


def test_an_unanswered_claim_of_what_runs_silences_the_master_and_runs_on() -> None:
    """Rule 19 for claims that do not wait."""
    agent = Agent()
    running(agent)
    agent.wait(4)
    assert agent.did == [actions.MasterSilent(master="m", silent=True)]
    assert agent.states == ["held"]


def test_the_commands_of_an_offer_run_one_after_the_other() -> None:
    """In order of n, each when the one before has completed."""
    agent = Agent()
    running(agent, command_offer(commands=3))
    agent.write((1, "started"))
    assert not agent.of(actions.RunCommand)
    agent.write((1, "completed"))
    assert [a.command.n for a in agent.of(actions.RunCommand)] == [2]
    agent.write((2, "started"), (2, "completed"))
    assert [a.command.n for a in agent.of(actions.RunCommand)] == [3]


def test_what_stands_behind_an_interrupted_command_completes_as_interrupted() -> None:
    """Stop means the whole step."""
    agent = Agent()
    agent.offer(command_offer(commands=2, ask=True))
    agent.grant()
    agent.write((1, "started"))
    agent.interrupt(1)
    assert agent.did == [actions.InterruptCommand(session="s1", n=1, reason="Stop")]
    agent.write((1, "completed"), interrupted="Stop")
    assert agent.of(actions.CompleteUnstarted) == [
        actions.CompleteUnstarted(session="s1", command=command(2), reason="Stop")
    ]


def test_rule_14_an_interrupt_of_a_command_whose_turn_has_not_come_is_remembered() -> None:
    """Its own turn tells."""
    agent = Agent()
    agent.offer(command_offer(commands=2, ask=True))
    agent.grant()
    agent.hear(Interrupt(session="s1", incarnation="I1", n=2, reason="not that one"))
    assert agent.did == []
    agent.write((1, "started"), (1, "completed"))
    [complete] = agent.of(actions.CompleteUnstarted)
    assert (complete.command.n, complete.reason) == (2, "not that one")


def test_rule_17_finished_confirmed_and_the_master_silent_frees_the_slot_and_keeps_the_journal() -> None:
    """After 10 s without a word of the master."""
    agent = Agent()
    delivery = finished(agent)
    assert "Ack" not in [type(action).__name__ for action in agent.wait(9.9)]
    agent.wait(0.2)
    assert agent.kinds[-4:] == ["Persist", "CloseSession", "Ack", "Consume"]
    assert agent.of(actions.Persist)[-1].meta.aside
    assert actions.CloseSession(session="s1", keep_journal=True) in agent.did
    assert actions.Ack(delivery=delivery) in agent.did
    assert agent.states == ["idle", "aside"]


def test_rule_17_waits_for_every_confirm() -> None:
    """An event that the broker has not taken keeps the slot."""
    agent = Agent()
    running(agent)
    agent.write((1, "started"), (1, "completed"))
    agent.wait(60)
    assert agent.states == ["held"]


def test_rule_17_a_master_that_lives_keeps_the_session_in_its_slot() -> None:
    """`alive` is enough."""
    agent = Agent()
    finished(agent)
    for _ in range(5):
        agent.wait(4)
        agent.alive()
    assert agent.states == ["held"]


def aside() -> Agent:
    agent = Agent()
    finished(agent)
    agent.wait(10)
    assert agent.states == ["idle", "aside"]
    return agent


def test_aside_a_grant_and_the_start_of_its_command_bring_all_events_again() -> None:
    """Table: ASIDE, grant, replay."""
    agent = aside()
    agent.grant(incarnation="I2")
    assert agent.kinds == ["MasterSilent", "Persist", "accept"]
    agent.start(incarnation="I2")
    assert agent.seqs == [1, 2]
    agent.replay(1, incarnation="I2")
    assert agent.seqs == [2]


@pytest.mark.parametrize("end", ["release", "refuse"])
def test_aside_release_or_refuse_deletes_the_journal(end: str) -> None:
    """The offer was acknowledged long ago."""
    agent = aside()
    agent.grant()
    if end == "release":
        agent.release()
    else:
        agent.refuse("resume")
    assert agent.did == [actions.CloseSession(session="s1")]
    assert agent.states == ["idle"]


def test_aside_answers_the_roll_call_and_takes_new_work_meanwhile() -> None:
    """It holds no slot."""
    agent = aside()
    agent.roll_call(incarnation="I2")
    assert [resume.session for resume in agent.said(Resume)] == ["s1"]
    agent.offer(command_offer("o2"))
    assert [claim.session for claim in agent.said(Claim)] == ["s2"]


def test_aside_its_offer_again_is_parked() -> None:
    """The bridge will adopt the session that is aside (rule 8)."""
    agent = aside()
    copy = agent.offer(command_offer(ask=True))
    assert agent.did == [actions.Park(delivery=copy)]


def test_aside_another_command_cannot_start() -> None:
    """Its keeper has ended: the session is lost."""
    agent = aside()
    agent.grant()
    agent.start(2)
    assert agent.kinds == ["Alarm", "CloseSession", "gone"]
    assert agent.said(Gone)[0].reason == "lost"


def test_a_release_acknowledges_the_offer() -> None:
    """The session ends with its last command."""
    agent = Agent()
    delivery = finished(agent)
    agent.grant()
    agent.release()
    assert agent.kinds == ["CloseSession", "Ack", "Consume"]
    assert actions.Ack(delivery=delivery) in agent.did


def test_the_keeper_of_a_finished_command_may_be_lost() -> None:
    """The journal has everything."""
    agent = Agent()
    finished(agent)
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    assert agent.did == []
    agent.grant(incarnation="I2")
    assert agent.said(Accept)
    agent.start(incarnation="I2")
    assert [event.kind for event in agent.said(Event)] == ["started", "completed"]


def test_a_keeper_that_does_not_even_start_parks_the_offer() -> None:
    """An agent that cannot start keepers must not spin on one offer."""
    agent = Agent()
    delivery = first_delivery(agent)
    agent.tell(inputs.KeeperLost(session="s1", reason="no space left on device"))
    assert actions.Park(delivery=delivery) in agent.did
    assert agent.said(Gone)[0].reason == "killed"  # nothing ran: no life lost (rule 20)


def test_a_changed_command_of_the_same_number_diverges() -> None:
    """The offer's command is known by its digest before it has run."""
    agent = Agent()
    delivery = first_delivery(agent)
    agent.confirm()
    agent.grant()
    agent.start(1, digest="other")
    assert agent.said(Gone)[0].reason == "diverged"
    assert actions.GiveBack(delivery=delivery) in agent.did


def test_the_same_command_started_by_the_bridge_is_followed_not_run_again() -> None:
    """`start` of a known n."""
    agent = Agent()
    running(agent)
    agent.grant()
    agent.start(1)
    assert not agent.of(actions.RunCommand)
    assert Command(n=1, name="shell", args={}, digest="d1") == command(1)


def test_what_runs_without_a_grant_is_told_to_its_master_after_eight_seconds_of_silence() -> None:
    """As of all that is held: since it was claimed nobody has said anything."""
    agent = Agent()
    agent.offer(command_offer())
    agent.confirm()
    agent.wait(COMMAND_GRANT_WAIT)
    assert agent.states == ["held"]
    assert agent.said(Resume) == []
    agent.wait(SILENCE_BEFORE_RESUME - COMMAND_GRANT_WAIT - 0.1)
    assert agent.said(Resume) == []
    agent.wait(0.1)
    assert len(agent.said(Resume)) == 1


def test_a_claim_says_what_kind_of_work_it_is_for_and_since_when_it_waits() -> None:
    """In the status of its slot."""
    agent = Agent()
    agent.deliver(command_offer())
    agent.at += 2.5
    agent.tell(inputs.MachineChecked(delivery=1, able=True))
    assert [claim.kind for claim in agent.said(Claim)] == ["command"]
    (slot,) = agent.machine.slots()
    assert (slot.state, slot.since) == ("claiming", agent.at)


def test_a_slot_is_idle_since_its_last_session_ended() -> None:
    """And before the first one since the agent began."""
    agent = Agent()
    assert agent.machine.slots()[0].since == 100.0
    agent.at += 5.0
    agent.held()
    agent.at += 7.0
    agent.release()
    (slot,) = agent.machine.slots()
    assert (slot.state, slot.since) == ("idle", 112.0)
