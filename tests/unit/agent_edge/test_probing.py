"""When a machine is probed: never beside a build, what ran out of time alone and ever more seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest

from contracts.operations import memory
from worker_agent.capabilities import probing
from worker_agent.capabilities.probing import JITTER, LATE_FIRST, LATE_MAX, QUIET, ProbePlan, Probing


def plan(*, every: float = 0.0, known: bool = True, dice: float = 0.5) -> ProbePlan:
    return ProbePlan(now=0.0, every=every, known=known, dice=lambda: dice)


def test_what_ran_out_of_time_is_tried_alone_and_ever_more_seldom() -> None:
    """The pauses double up to an hour; they begin anew after a round of all."""
    asked = plan()
    asked.ended("all", late=True, now=100.0)
    now, pauses = 100.0, []
    for _ in range(10):
        before, now = now, asked.next()
        assert asked.due(now - 0.001) is None
        assert asked.due(now) == "late"
        pauses.append(now - before)
        asked.ended("late", late=True, now=now)
    assert pauses[0] == LATE_FIRST
    assert all(later in (2 * earlier, LATE_MAX) for earlier, later in pairwise(pauses))
    assert pauses[-1] == LATE_MAX
    asked.ended("all", late=True, now=now)
    assert asked.next() - now == LATE_FIRST
    asked.ended("late", late=False, now=now)
    assert asked.next() == float("inf"), "nothing is late any more, and no interval was asked for"


def test_no_two_agents_probe_in_step() -> None:
    """Every pause is another by up to a quarter."""
    early, late = plan(every=1000.0, dice=0.0), plan(every=1000.0, dice=1.0)
    for one in (early, late):
        one.ended("all", late=False, now=0.0)
    assert (early.next(), late.next()) == (1000.0 * (1 - JITTER), 1000.0 * (1 + JITTER))
    for one in (early, late):
        one.ended("all", late=True, now=0.0)
    assert (early.next(), late.next()) == (LATE_FIRST * (1 - JITTER), LATE_FIRST * (1 + JITTER))


@pytest.mark.parametrize("what", ["all", "late"])
def test_nothing_is_probed_while_there_is_work(what: str) -> None:
    """Nor between two builds that follow one another."""
    asked = plan(every=1000.0 if what == "all" else 0.0)
    asked.ended("all", late=what == "late", now=0.0)
    asked.worked(True, 10.0)
    assert asked.due(5000.0) is None
    assert asked.next() == float("inf")
    asked.worked(False, 5000.0)
    assert asked.due(5000.0 + QUIET / 2) is None
    asked.worked(True, 5000.0 + QUIET / 2)
    asked.worked(False, 6000.0)
    assert asked.next() == 6000.0 + QUIET
    assert asked.due(6000.0 + QUIET) == what


def test_what_is_remembered_is_verified_soon() -> None:
    """Once the agent is idle."""
    asked = plan(known=True)
    assert asked.due(QUIET / 2) is None
    assert asked.due(QUIET) == "all"
    asked.ended("all", late=False, now=QUIET)
    assert asked.due(2 * QUIET) is None


def test_a_machine_that_is_not_known_is_probed_at_once() -> None:
    """Also while there is work: else an agent with much of it would never know what it can."""
    asked = plan(known=False)
    asked.worked(True, 0.0)
    assert asked.next() == 0.0
    assert asked.due(0.0) == "all"
    asked.failed("all", now=0.0)
    assert asked.due(LATE_FIRST / 2) is None
    assert asked.due(LATE_FIRST) == "all"
    asked.ended("all", late=False, now=LATE_FIRST)
    assert asked.due(LATE_FIRST) is None


class Machine:
    """Abilities whose probes take as long as the test wants."""

    def __init__(self, *, known: bool, late: bool = False) -> None:
        self.known = known
        self.late = late
        self.rounds: list[str] = []
        self.broken_off = 0
        self.go = asyncio.Event()
        self.go.set()
        self.fails = False

    async def remember(self) -> bool:
        return self.known

    async def probe(self) -> bool:
        return await self._round("all")

    async def probe_late(self) -> bool:
        return await self._round("late")

    async def _round(self, which: str) -> bool:
        self.rounds.append(which)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        if self.fails:
            raise OSError("no more processes")
        return True


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "QUIET", 0.01)
    monkeypatch.setattr(probing, "LATE_FIRST", 0.02)


async def until(true: Callable[[], bool]) -> None:
    async def look() -> None:
        while not true():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), 20)


@pytest.mark.usefixtures("quickly")
async def test_what_a_round_took_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or an agent had most of a megabyte more in each build, until it was idle for a minute."""
    given: list[int] = []
    machine = Machine(known=False)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(len(machine.rounds)))
    probes = Probing(machine, every=0.0, changed=lambda: None)  # type: ignore[arg-type]
    await probes.begin()
    running = asyncio.ensure_future(probes.run())
    await until(lambda: bool(given))
    running.cancel()
    assert given == [1]


@pytest.mark.usefixtures("quickly")
async def test_work_breaks_a_round_off_and_it_is_made_up_for() -> None:
    """With its processes; the rest waits for an idle agent."""
    machine = Machine(known=True)
    machine.go.clear()
    changes: list[int] = []
    probes = Probing(machine, every=0.0, changed=lambda: changes.append(1))  # type: ignore[arg-type]
    await probes.begin()
    assert machine.rounds == [], "what is known is used, not looked for"
    running = asyncio.ensure_future(probes.run())
    await until(lambda: machine.rounds == ["all"])
    assert probes.running
    probes.worked(True)
    await until(lambda: machine.broken_off == 1)
    assert not probes.running
    machine.go.set()
    assert not changes
    probes.worked(False)
    await until(lambda: changes == [1])
    assert machine.rounds == ["all", "all"]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.usefixtures("quickly")
async def test_probing_goes_on_after_an_error() -> None:
    """What cannot be probed now is tried again."""
    machine = Machine(known=True)
    machine.fails = True
    changes: list[int] = []
    probes = Probing(machine, every=0.0, changed=lambda: changes.append(1))  # type: ignore[arg-type]
    await probes.begin()
    running = asyncio.ensure_future(probes.run())
    await until(lambda: len(machine.rounds) >= 2)
    machine.fails = False
    await until(lambda: bool(changes))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.usefixtures("quickly")
async def test_a_first_round_goes_on_beside_work() -> None:
    """It keeps nobody waiting, and no work breaks it off. What was late then is probed alone afterwards, as ever."""
    machine = Machine(known=False, late=True)
    machine.go.clear()
    changes: list[int] = []
    probes = Probing(machine, every=0.0, changed=lambda: changes.append(1))  # type: ignore[arg-type]
    await probes.begin()
    assert machine.rounds == []
    running = asyncio.ensure_future(probes.run())
    await until(lambda: machine.rounds == ["all"])
    probes.worked(True)
    machine.go.set()
    await until(lambda: changes == [1])
    assert machine.broken_off == 0
    probes.worked(False)
    await until(lambda: machine.rounds[1:2] == ["late"])
    machine.late = False
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_somebody_may_ask_at_any_time() -> None:
    """Before the agent has begun (SIGHUP in its first second), and while a build runs: they want to know now."""
    machine = Machine(known=True)
    changes: list[int] = []
    probes = Probing(machine, every=0.0, changed=lambda: changes.append(1))  # type: ignore[arg-type]
    await probes.ask()
    await probes.begin()
    probes.worked(True)
    await probes.ask()
    assert machine.rounds == ["all", "all"]
    assert changes == [1, 1]
