"""Whatever happens in whatever order, clocks that jump among it: agents are those that a look at all would find."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Status
from contracts.requirements.sets import Requirements
from master_bridge.fleet import agents as module
from master_bridge.fleet.agents import LEAVING_SHOWN, SILENT_SHOWN, Agents
from tests.unit.fleet.test_agents import status

WANTED = {name: Requirements.from_signature(name) for name in ("gtk>=3", "gtk>=4")}
#: Fewer than agents, so that some give way.
MOST = 4
NAMES = ("a", "b", "c", "d", "e")

TOLD = st.builds(
    status,
    st.sampled_from(NAMES),
    account=st.sampled_from("uv"),
    gtk=st.sampled_from(("2.24", "3.24", "4.1")),
    held=st.sampled_from((None, "s")),
    state=st.sampled_from(("ready", "ready", "ready", "paused", "leaving")),
    every=st.sampled_from((5, 60)),
    epoch=st.sampled_from((1, 1, 1, 2)),
)
#: Seconds; what a clock that is put right does, too.
JUMPS = st.sampled_from(
    (1.0, 5.0, 14.0, 15.0, 16.0, LEAVING_SHOWN, 181.0, SILENT_SHOWN, -1.0, -20.0, -4_000.0, 4_000.0)
)
STEPS = st.lists(st.one_of(TOLD, TOLD, JUMPS), max_size=40)


@dataclass
class Plain:
    """One agent, as it was told of last."""

    status: Status
    heard: float
    state: str


class Everybody:
    """All are looked at, each time."""

    def __init__(self) -> None:
        self.known: dict[str, Plain] = {}

    def hear(self, key: str, told: Status, now: float) -> None:
        before = self.known.get(key)
        if before is None or told.epoch >= before.status.epoch:
            busy = any(slot.state == "held" for slot in told.slots)
            self.known[key] = Plain(told, now, told.state if told.state != "ready" else "busy" if busy else "idle")

    def tick(self, now: float) -> None:
        for key, agent in list(self.known.items()):
            silence = now - agent.heard
            if silence > (LEAVING_SHOWN if agent.status.state == "leaving" else SILENT_SHOWN):
                del self.known[key]
            elif agent.status.state != "leaving" and silence > agent.status.silent_after:
                agent.state = "silent"


class Viewer:
    """Somebody who has the page open: is told only what is new."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.at = 0

    def ask(self, agents: Agents) -> None:
        gone = agents.gone(self.at) if self.at else None
        if gone is None:
            self.rows.clear()
        for identity in gone or ():
            self.rows.pop(identity, None)
        self.rows.update((row["id"], row) for row in agents.rows(self.at if gone is not None else 0))
        self.at = agents.at


@given(steps=STEPS, asks=st.lists(st.booleans(), min_size=40, max_size=40))
def test_agents_are_those_that_a_look_at_all_of_them_finds(steps: list[Status | float], asks: list[bool]) -> None:
    """Their states, what is counted of them, and what a viewer has who takes what is new."""
    agents, everybody, viewer, now = Agents(), Everybody(), Viewer(), 1e6
    with mock.patch.object(module, "AGENTS_MAX", MOST):
        for step, is_asked in zip(steps, asks, strict=False):
            if isinstance(step, Status):
                agents.hear(step, now)
                there = {known.id for known in agents}
                key = f"{step.address.split('.')[1]}/{step.instance}"
                if key in there:
                    everybody.hear(key, step, now)
                # who gives way to whom is tested elsewhere (test_agents.py)
                everybody.known = {name: plain for name, plain in everybody.known.items() if name in there}
            else:
                now += step
                agents.tick(now)
                everybody.tick(now)
            assert {known.id: known.state for known in agents} == {
                key: plain.state for key, plain in everybody.known.items()
            }
            if is_asked:
                agents.look(WANTED, {})
                viewer.ask(agents)
                assert viewer.rows == {known.id: known.row for known in agents}
                _is_counted(agents)
    assert len(agents) <= MOST


def _is_counted(agents: Agents) -> None:
    tally = agents.tally
    assert tally.states == Counter(each.state for each in agents)
    assert tally.all.free == sum(each.free for each in agents)
    for name in WANTED:
        able = [each for each in agents if each.takes_work and name in each.serves]
        served = tally.of(name)
        assert (served.qualified, served.busy) == (len(able), sum(each.busy for each in able))
        assert served.unfit == sum(name in each.serves for each in agents) - len(able)
        assert served.free == sum(each.free for each in able)
