"""What the agent's log says it does: for whom, at the start and at the end, with how it ended."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from contracts.messages import AgentLock, Event, Start
from worker_agent.agent.dispatch import report
from worker_agent.core import actions, inputs

from .harness import Agent, command, command_offer, offer

NAMED: dict[str, Any] = {"builder": "gtk", "build_number": 17, "title": "gtk #17"}


def said(agent: Agent) -> list[dict[str, Any]]:
    """All that the log says, in order."""
    with capture_logs() as lines:
        for action in agent.all:
            if isinstance(action, actions.Report):
                report(action)
    return [{key: value for key, value in line.items() if key != "log_level"} for line in lines]


def tell(agent: Agent, seq: int, kind: Any, value: Any = None, n: int = 1, **more: Any) -> None:
    agent.journal.append(Event(session="s1", seq=seq, n=n, kind=kind, value=value, **more))
    agent.tell(inputs.Journalled(session="s1", seq=seq))


def test_a_build_and_its_commands() -> None:
    """Builder, number, step, exit code and seconds, each with its field."""
    agent = Agent()
    agent.held(offer(**NAMED))
    agent.hear(Start(session="s1", incarnation="I1", command=command(1).model_copy(update={"step": "compile"})))
    tell(agent, 1, "started", {"name": "shell", "digest": "d1"})
    tell(agent, 2, "update", ["rc", 3])
    tell(agent, 3, "update", ["elapsed", 2.5])
    tell(agent, 4, "completed")
    agent.wait(4.25)
    agent.release()
    whose = {"builder": "gtk", "build_number": 17, "master": "m", "session": "s1"}
    step = {"step": "compile", "n": 1, "name": "shell"}
    assert said(agent) == [
        {"event": "build", **whose},
        {"event": "command", **step, **whose},
        {"event": "command_ended", **step, "exit_code": 3, "seconds": 2.5, **whose},
        {"event": "build_ended", "commands": 1, "seconds": 4.25, "reason": "released", **whose},
    ]


def test_a_build_that_is_lost_says_why() -> None:
    """In the words of its alarm."""
    agent = Agent()
    agent.running(1)
    agent.tell(inputs.KeeperLost(session="s1", reason="killed by signal 9"))
    (ended,) = [line for line in said(agent) if line["event"] == "build_ended"]
    detail = "the session's processes ended with their keeper: killed by signal 9"
    assert (ended["reason"], ended["detail"]) == ("lost", detail)


@pytest.mark.parametrize(
    ("value", "more", "told"),
    [
        (None, {"interrupted": "Stop"}, {"interrupted": "Stop"}),
        ("OSError: no such file", {}, {"failure": "OSError: no such file"}),
        ("disk full", {"infrastructure": "disk full"}, {"failure": "disk full", "infrastructure": "disk full"}),
    ],
)
def test_how_else_a_command_ends(value: str | None, more: dict[str, Any], told: dict[str, str]) -> None:
    """By a Stop, by the worker's failure, by the machine's."""
    agent = Agent()
    agent.running(1)
    tell(agent, 2, "completed", value, **more)
    [ended] = [line for line in said(agent) if line["event"] == "command_ended"]
    assert {key: ended[key] for key in told} == told
    assert "exit_code" not in ended


def test_a_command_of_its_own_is_said_once() -> None:
    """Also when events are read again after a grant."""
    agent = Agent()
    what = command_offer(ask=True, **NAMED)
    agent.offer(what.model_copy(update={"commands": (what.commands[0].model_copy(update={"step": "compile"}),)}))
    agent.grant()
    tell(agent, 1, "started", {"name": "shell", "digest": "d1"})
    tell(agent, 2, "completed")
    agent.grant(incarnation="I2")
    agent.replay(0, incarnation="I2")
    assert [(line["event"], line["step"]) for line in said(agent)] == [
        ("command", "compile"), ("command_ended", "compile"),
    ]  # fmt: skip


def test_what_ended_before_a_restart_is_not_said_again() -> None:
    """The process that was there has said it."""
    journal = Agent().journal
    kinds: tuple[Any, ...] = ("started", "completed")
    for seq, kind in enumerate(kinds, 1):
        journal.append(Event(session="s1", seq=seq, n=1, kind=kind))
    found = inputs.Recovered(
        meta=inputs.SessionMeta(session="s1", offer=offer(**NAMED), slot=0, resumes=True, granted=True),
        alive=True,
        last_seq=2,
    )
    agent = Agent(recovered=[found], journal=journal)
    assert said(agent) == []


# ---- locks


def lock(name: str = "database", capacity: int = 1, takes: int = 1, **capacities: int) -> AgentLock:
    return AgentLock(name=name, capacity=capacity, takes=takes, capacities=capacities)


@pytest.mark.parametrize(
    ("held", "offered", "room"),
    [
        ((lock(),), (lock(),), False),
        ((lock(),), (lock("other"),), True),
        ((lock(),), (), True),
        ((), (lock(),), True),
        ((lock(capacity=2),), (lock(capacity=2),), True),
        ((lock(capacity=2),), (lock(capacity=2, takes=2),), False),
        ((lock(capacity=2, takes=9),), (lock(capacity=2),), False),
        ((lock(capacity=1, builder7=2),), (lock(capacity=1, builder7=2),), True),
        ((lock(capacity=5, builder7=1),), (lock(capacity=5, builder7=1),), False),
        ((), (lock(capacity=0),), False),
        ((), (lock(capacity=1, takes=9),), True),
    ],
)
def test_an_agent_with_room_for_its_locks_takes_the_offer(
    held: tuple[AgentLock, ...], offered: tuple[AgentLock, ...], room: bool
) -> None:
    """Whoever offers it; else it is parked, for another agent or for later. An exclusive lock takes all there is."""
    agent = Agent(slots=2)
    agent.held(offer(locks=held))
    agent.alive("other")
    delivery = agent.offer(offer("o2", master="other", request="br-2", locks=offered))
    assert (actions.Park(delivery=delivery) in agent.did) != room
    assert ("claim" in agent.kinds) == room
    if not room:
        agent.release()
        agent.offer(offer("o3", master="other", request="br-2", locks=offered))
        assert ("claim" in agent.kinds) == all(one.capacity for one in offered)


def test_a_build_that_nobody_gave_it_has_no_end() -> None:
    """As it had no beginning."""
    agent = Agent()
    agent.offer(offer(**NAMED))
    agent.refuse()
    assert said(agent) == []
