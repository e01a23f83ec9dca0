"""An agent that cannot start keepers takes itself off the queues, instead of losing one build after the other."""

from __future__ import annotations

from contracts.messages import Gone
from worker_agent.core import actions, inputs
from worker_agent.core.fitness import PAUSE, PAUSE_MAX

from .harness import Agent, offer


def _fail(agent: Agent, number: int) -> None:
    """Claim a build, have it granted, and lose its keeper before it has journalled anything."""
    agent.offer(offer(f"o{number}"))
    agent.grant(session=f"s{number}")
    agent.tell(inputs.KeeperLost(session=f"s{number}", reason="cannot fork"))


def test_a_keeper_that_cannot_start_pauses_the_agent() -> None:
    """The offer is parked, nothing is consumed for 5 s, and the alarm says so."""
    agent = Agent()
    _fail(agent, 1)
    assert agent.of(actions.Consume) == []
    assert [alarm.event for alarm in agent.of(actions.Alarm)] == ["keeper_lost"]
    assert agent.of(actions.Alarm)[0].detail.endswith("cannot fork; no new work for 5 s")
    agent.wait(PAUSE - 0.1)
    assert agent.of(actions.Consume) == []
    agent.wait(0.2)
    assert len(agent.of(actions.Consume)) == 1


def test_a_keeper_that_cannot_start_costs_the_build_no_life() -> None:
    """Rule 20 counts agents that were lost with a command running: here the agent is there, and nothing ran."""
    agent = Agent()
    _fail(agent, 1)
    assert [gone.reason for gone in agent.said(Gone)] == ["killed"]


def test_each_further_failure_doubles_the_pause_up_to_a_minute() -> None:
    """5, 10, 20, 40, 60, 60 s."""
    agent = Agent()
    for number, pause in enumerate((5.0, 10.0, 20.0, 40.0, 60.0, 60.0), 1):
        _fail(agent, number)
        agent.wait(pause - 0.1)
        assert agent.of(actions.Consume) == []
        agent.wait(0.2)
        assert len(agent.of(actions.Consume)) == 1
    assert pause == PAUSE_MAX


def test_a_keeper_that_works_ends_the_doubling() -> None:
    """Its first event proves that keepers can start."""
    agent = Agent()
    _fail(agent, 1)
    agent.wait(PAUSE + 0.1)
    agent.offer(offer("o2"))
    agent.grant(session="s2")
    agent.start(session="s2")
    agent.write((1, "started"), session="s2")
    agent.release(session="s2")
    _fail(agent, 3)
    agent.wait(PAUSE + 0.1)
    assert len(agent.of(actions.Consume)) == 1


def test_a_keeper_that_dies_later_pauses_nothing() -> None:
    """It was the command, or somebody's kill: other builds may well run here."""
    agent = Agent()
    agent.running()
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    assert len(agent.of(actions.Consume)) == 1
