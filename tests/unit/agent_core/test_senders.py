"""Rules 21 and 22: what an agent shows, and whom it believes."""

from __future__ import annotations

import pytest

from contracts.messages import (
    Accept,
    Alive,
    AnyMessage,
    Claim,
    Data,
    Gone,
    Grant,
    Hold,
    Interrupt,
    Later,
    Ping,
    Refuse,
    Release,
    Replay,
    Resume,
    RollCall,
    Start,
    Stored,
)
from worker_agent.core import actions, inputs

from .harness import Agent, command, command_offer, offer

S = {"session": "s1", "incarnation": "I1"}
OF_A_SESSION: list[AnyMessage] = [
    Grant(session="s1", master="m", incarnation="I1", run=1, stored=0, ticket="t"),
    Refuse(session="s1", master="m", re="resume", reason="x"),
    Refuse(session="s1", master="m", re="claim", reason="x"),
    Later(session="s1", master="m", request="br-1"),
    Hold(session="s1", master="m", request="br-1"),
    Start(**S, command=command(2)),
    Interrupt(**S, n=1, reason="x"),
    Ping(**S, stored=0),
    Stored(**S, stored=1),
    Replay(**S, stored=0),
    Release(**S),
    Data(**S, n=1, offset=0, size=1, data=b"x"),
]


@pytest.mark.parametrize("message", OF_A_SESSION, ids=lambda message: message.t)
@pytest.mark.parametrize("held", [True, False], ids=["held", "claiming"])
def test_a_session_is_spoken_of_by_its_master_s_account_alone(message: AnyMessage, held: bool) -> None:
    """Another one, though it names the right master, session and incarnation, is rejected and changes nothing."""
    agent = Agent()
    if held:
        agent.running()
    else:
        agent.offer(offer())
    before = agent.machine.slots()
    [reject] = agent.hear(message, user="mallory")
    assert isinstance(reject, actions.Reject)
    assert "(user mallory)" in reject.reason
    assert "(user bridge)" in reject.reason
    assert agent.machine.slots() == before


def test_a_roll_call_by_another_account_is_not_answered() -> None:
    agent = Agent()
    agent.running()
    assert agent.hear(RollCall(master="m", incarnation="I9"), user="mallory") == []
    agent.roll_call(incarnation="I2")
    assert len(agent.said(Resume)) == 1


def test_another_account_s_alive_does_not_end_a_master_s_silence() -> None:
    agent = Agent()
    agent.offer(offer())
    agent.confirm()
    agent.wait(6.0)
    agent.hear(Alive(master="m", incarnation="I9"), user="mallory")
    agent.offer(offer("o2"))
    assert actions.Park in [type(action) for action in agent.did], "its master is still silent"


def test_the_claim_shows_the_offers_ticket_and_all_after_the_grant_its_ticket() -> None:
    agent = Agent()
    agent.offer(offer())
    assert [claim.ticket for claim in agent.said(Claim)] == ["ticket-of-the-offer"]
    agent.grant(incarnation="I1")
    assert [accept.ticket for accept in agent.said(Accept)] == ["ticket-of-I1"]
    [persist] = agent.of(actions.Persist)
    assert persist.meta.ticket == "ticket-of-I1"
    agent.roll_call(incarnation="I2")
    assert [resume.ticket for resume in agent.said(Resume)] == ["ticket-of-I1"]
    agent.grant(incarnation="I2")
    assert [accept.ticket for accept in agent.said(Accept)] == ["ticket-of-I2"]


def test_a_restarted_agent_shows_the_ticket_that_it_kept() -> None:
    """Else its master would not believe that it has the session."""
    meta = inputs.SessionMeta(session="s0", offer=offer(), slot=0, resumes=True, granted=True, run=1, ticket="kept")
    agent = Agent(recovered=[inputs.Recovered(meta=meta, alive=True, last_seq=0)], linked=False)
    agent.link_up()
    assert [resume.ticket for resume in agent.said(Resume)] == ["kept"]


def test_a_session_that_is_gone_says_so_with_its_ticket_and_one_that_never_was_without() -> None:
    agent = Agent()
    agent.running()
    agent.release()
    agent.ping()
    assert [gone.ticket for gone in agent.said(Gone)] == ["ticket-of-I1"]
    agent.ping(session="never")
    assert [gone.ticket for gone in agent.said(Gone)] == [None]


def test_a_command_offer_that_its_master_did_not_send_waits_for_a_grant() -> None:
    """An operator sends it again, or somebody in a master's name: nothing runs before the master grants it."""
    agent = Agent()
    agent.offer(command_offer(), repeated=True)
    assert agent.states == ["claiming"]
    agent.wait(2.0)
    assert actions.RunCommand not in [type(action) for action in agent.all]


def test_offers_in_the_name_of_a_master_that_speaks_as_another_do_not_wait_for_ever() -> None:
    agent = Agent()
    agent.alive("m", "I1")
    forged = offer(user="mallory")
    agent.offer(forged)
    agent.confirm()
    agent.wait(6.0)
    agent.offer(forged, deaths=19)
    assert [type(action) for action in agent.did] == [actions.Park]
    agent.offer(forged, deaths=20)
    [bury] = agent.did
    assert isinstance(bury, actions.SendToDead)
    assert "master m is not user mallory" in bury.reason
