"""How often the fleet is told: what decides about work soon, what becomes of slots less often."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.messages import Alive, RollCall, SlotStatus, Status
from worker_agent.core.availability import Availability
from worker_agent.program.settings import Settings
from worker_agent.reporting import telling
from worker_agent.reporting.columns import FILE, ToldFile
from worker_agent.reporting.snapshot import Snapshot
from worker_agent.reporting.telling import Telling

IDLE = Snapshot(
    instance="i", epoch=1, address="agent.u.i.1", linked=True, availability=Availability(), waits_for=(),
    slots=(SlotStatus(state="idle"),), capabilities=(), queues=frozenset(),
)  # fmt: skip
HELD = replace(IDLE, slots=(SlotStatus(state="held"),))
UNWELL = replace(IDLE, availability=Availability(unwell=("disk low",)))


async def told(statuses: list[Status], count: int) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    while len(statuses) < count:
        assert asyncio.get_running_loop().time() < deadline, f"{len(statuses)} of {count} statuses"
        await asyncio.sleep(0.005)


async def test_slots_are_told_less_often_than_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a status just told, what becomes of slots waits; a change of state does not, and takes it along."""
    now, statuses = IDLE, list[Status]()
    told_of = Telling(Settings(state=tmp_path), lambda: now, statuses.append, dict, lambda: None)
    monkeypatch.setattr(telling, "SLOTS_AFTER", 60.0)
    told_of.look(IDLE, now=True)
    for now in (HELD, IDLE, HELD):
        told_of.look(now, now=False)
    waits = told_of._soon
    assert waits is not None
    assert waits.when() > asyncio.get_running_loop().time() + 30
    now = replace(UNWELL, slots=HELD.slots)
    told_of.look(now, now=False)
    await told(statuses, 2)
    assert statuses[1].state == "unwell"
    assert statuses[1].slots[0].state == "held"
    now = IDLE
    told_of.look(now, now=False)
    await told(statuses, 3)
    assert statuses[2].state == "ready"


async def test_slots_are_told_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of many changes is told, too, after the pause."""
    now, statuses = IDLE, list[Status]()
    told_of = Telling(Settings(state=tmp_path), lambda: now, statuses.append, dict, lambda: None)
    monkeypatch.setattr(telling, "SLOTS_AFTER", 0.2)
    told_of.look(IDLE, now=True)
    for now in (HELD, IDLE, HELD):
        told_of.look(now, now=False)
    await told(statuses, 2)
    assert statuses[1].slots[0].state == "held"


async def test_a_short_build_after_a_pause_is_one_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its begin waits, but not for longer than the changes of a busy agent do: later ones put off nothing."""
    now, statuses = IDLE, list[Status]()
    told_of = Telling(Settings(state=tmp_path), lambda: now, statuses.append, dict, lambda: None)
    told_of.look(IDLE, now=True)
    clock = asyncio.get_running_loop().time() + 1000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: clock)
    begun = clock
    for state in ("claiming", "held", "idle"):
        now = replace(IDLE, slots=(SlotStatus(state=state, since=clock),))  # type: ignore[arg-type]
        told_of.look(now, now=False)
        assert told_of._soon is not None
        assert told_of._soon.when() == begun + telling.SLOTS_AFTER
        clock += 0.2
    assert len(statuses) == 1


async def test_in_a_large_fleet_it_tells_less_often_and_says_so_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """News is told at once all the same, and who asks for its columns sees at each look that it is there."""
    now, statuses, looks, written = replace(IDLE, queues=frozenset({"cap.a"})), list[Status](), 0, list[float]()

    def look() -> Snapshot:
        nonlocal looks
        looks += 1
        return now

    told_of = Telling(Settings(state=tmp_path), look, statuses.append, dict, lambda: None)
    monkeypatch.setattr(telling, "STATUS_INTERVAL", 0.01)
    monkeypatch.setattr(ToldFile, "again", lambda _, at: written.append(at))
    told_of.look(now, now=True)
    for _ in range(2):
        told_of.master_speaks(Alive(master="m", incarnation="1", status_every=25))
    running = asyncio.ensure_future(told_of.run())
    await told(statuses, 6)
    told_of.master_speaks(RollCall(master="m", incarnation="2"))
    assert [status.every for status in statuses[:6]] == [5, 25, 25, 25, 25, 25]
    assert looks - 1 in range(1 + 3 * 5, 26), "a first one, 1 to 5 looks to the second, and 5 each to three more"
    assert len(written) == looks - 5
    before = len(statuses)
    now = replace(now, availability=UNWELL.availability)
    told_of.look(now, now=False)
    await told(statuses, before + 1)
    assert (statuses[before].state, statuses[before].every) in (("unwell", 25),)
    running.cancel()


def test_the_same_queues_are_written_as_often_as_an_idle_agent_would(tmp_path: Path) -> None:
    """Whoever asks for the columns waits for the next text; other queues are written at once."""
    file, texts = ToldFile(tmp_path), set[str]()
    for now in (100.0, 100.5, 104.0, 104.9, 200.0, 50.0):
        file.write(("cap.a",), now)
        texts.add((tmp_path / FILE).read_text())
    assert len(texts) == 4, texts  # 100, 104.9, 200, and a clock that was set back
    file.write(("cap.b",), 50.1)
    assert "cap.b" in (tmp_path / FILE).read_text()
    assert os.listdir(tmp_path) == [FILE]
