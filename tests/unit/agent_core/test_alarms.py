"""Why a session ended, word for word: in the log of its agent, and in the `gone` that its bridge gets."""

from __future__ import annotations

import pytest

from contracts.messages import Event, Gone
from contracts.timing import ASIDE_AFTER, ORPHAN_IDLE
from worker_agent.core import actions as do
from worker_agent.core import inputs

from .harness import Agent, command_offer, offer


def told(agent: Agent) -> tuple[list[tuple[str, str, str | None]], list[tuple[str, str]]]:
    """The last alarms, and what the last `gone`s say."""
    alarms = [(alarm.event, alarm.detail, alarm.session) for alarm in agent.of(do.Alarm)]
    return alarms, [(gone.reason, gone.detail) for gone in agent.said(Gone)]


def test_strict_fencing_names_the_master_and_the_seconds() -> None:
    """Those of its offer."""
    agent = Agent()
    agent.held(offer(fencing=20.5))
    agent.start(1)
    agent.wait(20.6)
    detail = "no contact with master m for 20.5 s (strict fencing)"
    assert told(agent) == ([("session_fenced", detail, "s1")], [("killed", detail)])


def test_a_journal_with_a_hole_names_the_event() -> None:
    """And how many there should be."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"))
    agent.journal.remove("s1")
    agent.replay(0)
    detail = "event 1 of 2 is no longer in the journal"
    assert told(agent) == ([("journal_incomplete", detail, "s1")], [("lost", detail)])


def test_a_command_that_no_keeper_is_left_for_is_named() -> None:
    """Its session was set aside."""
    agent = Agent()
    agent.offer(command_offer())
    agent.grant()
    agent.write((1, "started"), (1, "completed"))
    agent.confirm()
    agent.wait(ASIDE_AFTER)
    agent.grant()
    agent.start(2)
    detail = "command 2 (shell) cannot start: the session's keeper has ended"
    assert told(agent) == ([("session_lost", detail, "s1")], [("lost", detail)])


@pytest.mark.parametrize(("journalled", "reason"), [(False, "killed"), (True, "lost")])
def test_a_keeper_that_ended_is_told_with_why(journalled: bool, reason: str) -> None:
    """And with the pause that follows where it had done nothing."""
    agent = Agent()
    delivery = agent.held()
    if journalled:
        agent.start(1)
        agent.write((1, "started"))
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    pause = "" if journalled else "; no new work for 5 s"
    detail = f"the session's processes ended with their keeper: killed by signal 9{pause}"
    assert told(agent) == ([("keeper_lost", detail, "s1")], [(reason, detail)])
    assert (do.GiveBack(delivery=delivery) if journalled else do.Park(delivery=delivery)) in agent.did


def test_a_session_in_which_nothing_was_started_is_given_back_to_others() -> None:
    """Its master is silent; no operator has to look."""
    agent = Agent()
    agent.held()
    agent.wait(ORPHAN_IDLE)
    detail = "no command was started in it, and master m is silent"
    assert told(agent) == ([], [("killed", detail)])


def test_a_stop_says_so() -> None:
    """To the bridge of each session."""
    agent = Agent()
    agent.running()
    agent.tell(inputs.Stop(reason="now"))
    assert told(agent) == ([], [("killed", "the agent was stopped")])


def test_a_bridge_that_refuses_a_resume_is_quoted() -> None:
    """To whoever asks for the session afterwards."""
    agent = Agent()
    delivery = agent.running()
    agent.refuse("resume")
    assert told(agent) == ([], [])
    assert do.GiveBack(delivery=delivery) in agent.did
    agent.ping()
    assert told(agent) == ([], [("refused", "because")])


def test_a_failure_is_a_text_in_the_log_or_nothing() -> None:
    """Whatever else stands in the event."""
    for value, failure in (("out of memory", "out of memory"), ([1, 2], None), ({"a": 1}, None), (None, None)):
        agent = Agent()
        agent.running()
        agent.journal.append(Event(session="s1", seq=2, n=1, kind="completed", value=value))
        agent.tell(inputs.Journalled(session="s1", seq=2))
        (report,) = [each for each in agent.all if isinstance(each, do.Report) and each.event == "command_ended"]
        assert report.fields["failure"] == failure


def test_a_session_is_set_aside_ten_seconds_after_its_end_and_no_earlier() -> None:
    """However long ago its master was heard, and the link came up."""
    agent = Agent()
    agent.offer(command_offer())
    agent.grant()
    agent.write((1, "started"))
    agent.confirm()
    agent.wait(60.0)
    agent.write((1, "completed"))
    agent.confirm()
    assert agent.states == ["held"]
    agent.wait(ASIDE_AFTER - 0.1)
    assert agent.states == ["held"]
    agent.wait(0.1)
    assert agent.states == ["idle", "aside"]


def test_a_new_link_waits_ten_seconds_for_the_master_of_what_has_finished() -> None:
    """It may have been cut off as long."""
    agent = Agent()
    agent.offer(command_offer())
    agent.grant()
    agent.write((1, "started"), (1, "completed"))
    agent.confirm()
    agent.link_down()
    agent.wait(60.0)
    assert agent.states == ["held"]
    agent.link_up()
    agent.wait(ASIDE_AFTER - 0.1)
    assert agent.states == ["held"]
    agent.wait(0.1)
    assert agent.states == ["idle", "aside"]
