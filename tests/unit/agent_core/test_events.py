"""Events on their way to the bridge: rule 13, the window, the gate."""

from __future__ import annotations

import pytest

from contracts.messages import Accept, Event, Gone
from contracts.timing import EVENT_DATA_MAX, WINDOW_BYTES, WINDOW_EVENTS
from worker_agent.core import actions, inputs
from worker_agent.core.window import EventWindow

from .harness import Agent, command_offer


def test_events_are_published_as_the_keeper_journals_them() -> None:
    """With a token each, to the events queue."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"), (1, "stdout"))
    assert agent.seqs == [2, 3]
    assert all(publish.to == "events" and publish.token is not None for publish in agent.of(actions.Publish))


def test_at_most_64_events_are_under_way_and_stored_makes_room() -> None:
    """The window is of what is not stored, whatever the broker has confirmed."""
    agent = Agent()
    agent.running()
    agent.write(*[(1, "stdout")] * 100)
    assert agent.seqs == list(range(2, WINDOW_EVENTS + 1))
    assert agent.confirm() == []
    agent.stored(10)
    assert agent.seqs == list(range(WINDOW_EVENTS + 1, WINDOW_EVENTS + 11))


def test_at_most_2_mib_are_under_way() -> None:
    """Eight events of the largest size."""
    agent = Agent()
    agent.running()
    agent.stored(1)
    agent.write(*[(1, "stdout")] * 20, data=bytes(EVENT_DATA_MAX))
    assert len(agent.seqs) == WINDOW_BYTES // EVENT_DATA_MAX
    agent.ping(2)
    assert len(agent.seqs) == 1


def test_stored_trims_the_journal_once() -> None:
    """Only what is news goes to the keeper."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"))
    agent.stored(2)
    assert agent.did == [actions.TrimJournal(session="s1", seq=2)]
    agent.ping(2)
    assert agent.did == []
    agent.stored(1)
    assert agent.did == []


def test_rule_13_a_replay_publishes_again_from_stored() -> None:
    """The bridge saw a gap."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"), (1, "stdout"))
    agent.replay(1)
    assert agent.seqs == [2, 3]


def test_rule_13_a_grant_of_the_same_incarnation_rewinds_and_publishes_at_once() -> None:
    """The gate stays open: it has started these commands."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"), (1, "stdout"))
    agent.grant(stored=1)
    assert agent.kinds == ["TrimJournal", "accept", "event", "event"]
    assert agent.seqs == [2, 3]


def test_rule_13_confirmed_events_without_progress_are_sent_again_after_5_s_when_the_bridge_lives() -> None:
    """It pings, and does not store."""
    agent = Agent()
    agent.running()
    agent.confirm()
    agent.write((1, "stdout"))
    agent.confirm()
    agent.wait(2)
    agent.ping(0)
    agent.wait(2)
    agent.ping(0)
    assert agent.seqs == []
    agent.wait(1.1)
    assert agent.seqs == [1, 2]


def test_confirmed_events_are_not_sent_again_to_a_bridge_that_says_nothing() -> None:
    """Its durable queue has them; hours of repetition would fill it."""
    agent = Agent()
    agent.running()
    agent.confirm()
    assert [a for a in agent.wait(600) if isinstance(a, actions.Publish) and isinstance(a.message, Event)] == []


def test_an_event_that_the_broker_refuses_is_sent_again_after_5_s_with_all_behind_it() -> None:
    """The events queue is full: pause, then go on in order."""
    agent = Agent()
    agent.running()
    agent.confirm()
    agent.write((1, "stdout"))
    [publish] = agent.of(actions.Publish)
    assert publish.token is not None
    agent.tell(inputs.Refused(token=publish.token))
    agent.write((1, "stdout"))
    assert agent.seqs == []
    agent.wait(4.8)
    assert agent.seqs == []
    agent.wait(0.3)
    assert agent.seqs == [2, 3]


def test_a_lost_link_voids_what_was_not_confirmed() -> None:
    """What the broker confirmed is in a durable queue, and not sent again."""
    agent = Agent()
    agent.running()
    agent.confirm()
    agent.write((1, "stdout"), (1, "stdout"))
    agent.link_down()
    agent.write((1, "stdout"))
    assert agent.did == []
    agent.link_up()
    assert agent.seqs == [2, 3, 4]


def test_the_gate_events_wait_for_the_new_incarnations_start_of_their_command() -> None:
    """A grant of a restarted bridge brings nothing before it has said which command it means."""
    agent = Agent()
    agent.running()
    agent.write((1, "stdout"))
    agent.grant(incarnation="I2")
    assert agent.kinds == ["Persist", "accept"], "the new ticket is kept"
    agent.write((1, "stdout"))
    assert agent.seqs == []
    agent.start(1, incarnation="I2")
    assert agent.seqs == [1, 2, 3]
    assert not agent.of(actions.RunCommand)


def test_the_gate_opens_command_by_command() -> None:
    """Events of command 2 wait for its start, those of 1 do not."""
    agent = Agent()
    agent.running()
    agent.write((1, "completed"))
    agent.start(2)
    agent.write((2, "started"))
    agent.grant(incarnation="I2")
    agent.start(1, incarnation="I2")
    assert agent.seqs == [1, 2]
    agent.start(2, incarnation="I2")
    assert agent.seqs == [3]


def test_the_gate_another_digest_ends_the_session_before_a_wrong_line_is_stored() -> None:
    """Table: HELD, start of a known n, other digest."""
    agent = Agent()
    delivery = agent.running()
    agent.grant(incarnation="I2")
    agent.start(1, digest="other", incarnation="I2")
    assert agent.kinds == ["Alarm", "CloseSession", "gone", "GiveBack", "Consume"]
    assert agent.said(Gone)[0].reason == "diverged"
    assert actions.GiveBack(delivery=delivery) in agent.did
    assert agent.seqs == []


@pytest.mark.parametrize(("incarnation", "published"), [("I1", [1]), ("I2", [])])
def test_the_gate_of_a_first_delivery_stays_open_for_the_incarnation_that_was_heard(
    incarnation: str, published: list[int]
) -> None:
    """Only a restart since the claim closes it."""
    agent = Agent()
    agent.alive(incarnation="I1")
    agent.offer(command_offer())
    agent.confirm()
    agent.wait(1)
    agent.write((1, "started"))
    agent.grant(incarnation=incarnation)
    assert agent.seqs == published


def test_stored_beyond_the_journal_ends_the_session() -> None:
    """The two sides no longer mean the same events."""
    agent = Agent()
    agent.running()
    agent.ping(7)
    assert agent.said(Gone)[0].reason == "lost"
    assert agent.of(actions.Alarm)[0].event == "journal_incomplete"


def test_a_grant_that_stored_more_than_the_journal_is_not_accepted() -> None:
    """It is over, and says nothing else."""
    agent = Agent()
    agent.running()
    agent.grant(stored=7)
    assert agent.said(Gone)[0].reason == "lost"
    assert agent.said(Accept) == []


def test_a_hole_in_the_journal_ends_the_session() -> None:
    """What cannot be replayed cannot be adopted."""
    agent = Agent()
    agent.running()
    agent.journal.remove("s1")
    agent.replay(0)
    assert agent.said(Gone)[0].reason == "lost"


def test_an_event_that_cannot_be_read_yet_is_read_with_the_next_input() -> None:
    """Told before it can be read."""
    agent = Agent()
    agent.running()
    agent.tell(inputs.Journalled(session="s1", seq=2))
    assert agent.did == []
    agent.journal.append(Event(session="s1", seq=2, n=1, kind="stdout", data=b"late"))
    agent.tell(inputs.Tick())
    assert agent.seqs == [2]


def test_a_blocked_connection_is_not_filled_by_replays() -> None:
    """At most twice the window is unconfirmed, however often a replay is asked for."""
    window, token = EventWindow(0.0), 0
    window.last, most = 100, 0
    for _ in range(10):
        window.rewind(0, 0.0)
        while window.has_room(EVENT_DATA_MAX):
            token += 1
            window.published(EVENT_DATA_MAX, token, 0.0)
        most = token
    assert most * EVENT_DATA_MAX == 2 * WINDOW_BYTES


def test_what_can_be_read_by_now_is_read_before_the_bridge_is_believed() -> None:
    """It has stored an event that the agent was told of before it could read it."""
    agent = Agent()
    agent.running()
    agent.tell(inputs.Journalled(session="s1", seq=2))
    agent.journal.append(Event(session="s1", seq=2, n=1, kind="stdout", data=b"late"))
    agent.ping(2)
    assert actions.TrimJournal(session="s1", seq=2) in agent.did
    assert agent.states == ["held"]
