"""A command's tree is ended: who gets which signal, how long is waited, and who is spared."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.unit.keeper.system import System
from worker_agent.keeper.processes import ending, reaper
from worker_agent.keeper.processes.ending import BACKUP_TIMEOUT, Ending
from worker_agent.keeper.processes.reaper import KILL_PATIENCE

#: this process, which is the keeper; its guard; the command's process and its mark
KEEPER, GUARD, COMMAND, MARK = 30, 40, 50, "s1/2"
TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL


class Children:
    """What the keeper knows of its children: the command's process, until it is collected."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.guard = SimpleNamespace(pid=GUARD)
        self.running = True
        self.given_up: list[int] = []

    def watched(self, pid: int) -> bool:
        assert pid == COMMAND
        self.running = self.running and COMMAND in self._system.entries
        return self.running

    def reap(self) -> None:
        """Zombies are collected."""
        for pid, entry in list(self._system.entries.items()):
            if entry.status == psutil.STATUS_ZOMBIE and entry.parent == KEEPER:
                self._system.end(pid)

    def give_up(self, pid: int) -> None:
        self.given_up.append(pid)


class Stage:
    """A keeper with one command, and nothing else yet."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.children = Children(system)
        self.alone = True
        system.start(KEEPER)
        system.adopts = KEEPER
        system.start(GUARD, parent=KEEPER)

    def start(self, **fields: Any) -> Ending:
        """The command's process, a leader of its group."""
        self.system.start(COMMAND, parent=KEEPER, mark=MARK, **fields)
        host: Any = SimpleNamespace(children=self.children, alone=self._is_alone)
        return Ending(host, COMMAND, MARK)

    def _is_alone(self, mark: str) -> bool:
        assert mark == MARK
        return self.alone


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Nothing is signalled but what the test has started in it."""
    system = System()
    system.replace(monkeypatch, ending)
    monkeypatch.setattr(os, "getpid", lambda: KEEPER)
    monkeypatch.setattr(os, "killpg", system.killpg)
    monkeypatch.setattr(os, "getpgid", system.getpgid)
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        system.sleep(seconds)
        await real(0)

    monkeypatch.setattr(ending, "asyncio", SimpleNamespace(sleep=sleep))
    return Stage(system)


def pids(found: list[Any]) -> list[int]:
    return sorted(process.pid for process in found)


# ---- who is of the tree


def test_the_tree_is_what_descends_what_is_marked_and_what_was_left_to_the_keeper(stage: Stage) -> None:
    """Each with all that is below it, and each once."""
    it = stage.start()
    stage.system.start(51, parent=COMMAND, mark=MARK)
    stage.system.start(52, parent=51)
    stage.system.start(60, parent=1, mark=MARK)
    stage.system.start(61, parent=60)
    stage.system.start(70, parent=KEEPER)
    stage.system.start(71, parent=70)
    stage.system.start(80, parent=1)
    assert it.members()[0].pid == COMMAND
    assert pids(it.members()) == [COMMAND, 51, 52, 60, 61, 70, 71]


@pytest.mark.parametrize("looks", [1, 3])
def test_a_process_that_is_shown_a_moment_later_is_known_like_any_other(
    stage: Stage, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `ProtectProc=invisible` its own parent does not see it while it begins a program: the step broke there."""
    hide(stage, monkeypatch, looks)
    it = stage.start()
    stage.system.start(51, parent=COMMAND)
    assert pids(it.members()) == [COMMAND, 51]


async def test_a_process_that_is_never_shown_ends_all_the_same(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its group and whatever carries its mark."""
    hide(stage, monkeypatch, 1_000_000)
    it = stage.start()
    stage.system.start(60, parent=1, mark=MARK)
    await it.end(None, "KILL")
    assert stage.system.living() == [KEEPER, GUARD]


def hide(stage: Stage, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """So many first looks at the command find nothing."""
    left = [looks]

    def process(pid: int | None = None) -> Any:
        if pid == COMMAND and left[0]:
            left[0] -= 1
            raise psutil.NoSuchProcess(pid)
        return stage.system.process(KEEPER if pid is None else pid)

    monkeypatch.setattr(psutil, "Process", process)
    monkeypatch.setattr(reaper, "_is_there", lambda pid: pid == COMMAND)


def test_orphans_are_nobodys_while_another_command_runs(stage: Stage) -> None:
    """They may be that one's."""
    it = stage.start()
    stage.alone = False
    stage.system.start(60, parent=1, mark=MARK)
    stage.system.start(70, parent=KEEPER)
    assert pids(it.members()) == [COMMAND, 60]


def test_older_orphans_another_commands_and_the_guard_are_spared(stage: Stage) -> None:
    """What was there before the command, or says that it is not its."""
    stage.system.start(65, parent=KEEPER)
    it = stage.start()
    stage.system.start(66, parent=KEEPER, mark="s1/1")
    stage.system.start(67, parent=KEEPER, mark="leave")
    stage.system.start(68, parent=KEEPER, status=psutil.STATUS_ZOMBIE)
    stage.system.end(GUARD)
    stage.system.start(GUARD, parent=KEEPER)
    assert pids(it.members()) == [COMMAND]


def test_an_orphan_that_goes_while_it_is_looked_at_is_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are found all the same."""
    it = stage.start()
    stage.system.start(70, parent=KEEPER)
    stage.system.start(71, parent=KEEPER)
    real = reaper.orphan

    def orphan(process: Any) -> Any:
        if process.pid == 70:
            raise psutil.NoSuchProcess(70)
        return real(process)

    monkeypatch.setattr(ending, "orphan", orphan)
    assert pids(it.members()) == [COMMAND, 71]


def test_a_number_that_came_again_is_not_the_commands(stage: Stage) -> None:
    """Its process was collected; who has its number now has children of its own."""
    it = stage.start()
    stage.system.start(60, parent=1, mark=MARK)
    stage.system.end(COMMAND)
    assert not stage.children.watched(COMMAND)
    stage.system.start(COMMAND)
    stage.system.start(51, parent=COMMAND)
    assert pids(it.members()) == [60]


# ---- how it ends


async def test_without_more_it_is_killed_in_one_go(stage: Stage) -> None:
    """The group first: a shell that saw its child die would still say so."""
    it = stage.start()
    stage.system.start(51, parent=COMMAND, group=COMMAND)
    stage.system.start(52, parent=COMMAND)
    await it.end(None, "KILL")
    assert stage.system.living() == sorted([KEEPER, GUARD])
    assert stage.system.groups == [(COMMAND, KILL)]
    assert not it.stubborn
    assert stage.children.given_up == []


async def test_what_is_asked_to_go_has_its_time(stage: Stage) -> None:
    """All of the tree is: the group, and what has left it. Nobody is killed who goes."""
    it = stage.start(heeds=[TERM])
    stage.system.start(51, parent=COMMAND, group=COMMAND, heeds=[TERM])
    stage.system.start(52, parent=COMMAND, heeds=[TERM])
    await it.end(3.0, "KILL")
    assert stage.system.groups == [(COMMAND, TERM)]
    assert stage.system.signals == [(COMMAND, 0), (51, 0), (52, TERM)]
    assert stage.system.now < 0.1
    assert not it.stubborn


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
async def test_a_group_that_goes_just_then_is_gone(
    stage: Stage, error: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left whom the signal could reach."""
    it = stage.start()

    def goes(group: int, number: int) -> None:
        stage.system.end(group)
        raise error(group)

    monkeypatch.setattr(os, "killpg", goes)
    await it.end(3.0, "KILL")
    assert stage.system.living() == sorted([KEEPER, GUARD])
    assert not it.stubborn


async def test_who_does_not_go_is_killed_after_its_time(stage: Stage) -> None:
    """And is not called stubborn for what was no interrupt."""
    it = stage.start()
    await it.end(3.0, "KILL")
    assert stage.system.groups == [(COMMAND, TERM), (COMMAND, KILL)]
    assert stage.system.now == pytest.approx(3.0, abs=0.1)
    assert not it.stubborn


async def test_a_time_of_nothing_is_a_signal_without_a_wait(stage: Stage) -> None:
    """`sigtermTime=0`."""
    it = stage.start()
    await it.end(0.0, "KILL")
    assert stage.system.groups == [(COMMAND, TERM), (COMMAND, KILL)]
    assert stage.system.now == 0.0


async def test_it_is_interrupted_as_asked(stage: Stage) -> None:
    """Who goes then is left in peace."""
    it = stage.start(heeds=[INT])
    await it.end(None, "INT")
    assert stage.system.groups == [(COMMAND, INT)]
    assert not it.stubborn


async def test_who_outlives_its_interrupt_is_killed_and_stubborn(stage: Stage) -> None:
    """After as long as Buildbot's worker gives it."""
    it = stage.start()
    await it.end(None, "INT")
    assert stage.system.groups == [(COMMAND, INT), (COMMAND, KILL)]
    assert stage.system.now == pytest.approx(BACKUP_TIMEOUT, abs=0.1)
    assert it.stubborn


async def test_whose_children_outlive_its_interrupt_is_not_stubborn(stage: Stage) -> None:
    """The command itself went."""
    it = stage.start(heeds=[INT])
    stage.system.start(51, parent=COMMAND, mark=MARK)
    await it.end(None, "INT")
    assert stage.system.living() == sorted([KEEPER, GUARD])
    assert not it.stubborn


@pytest.mark.parametrize(("sigterm_time", "asked"), [(3.0, TERM), (None, INT)])
async def test_a_machine_that_stands_still_takes_nobodys_time(
    stage: Stage, sigterm_time: float | None, asked: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual machine is paused, or the disk answers nobody: what was asked to go had no time to do it."""
    it = stage.start()
    pauses = iter([60.0, 0.05, 0.05])

    def sleep(seconds: float) -> None:
        pause = next(pauses, None)
        if pause is None:
            stage.system.end(COMMAND)  # it has written down what it had
        stage.system.now += pause or seconds

    monkeypatch.setattr(stage.system, "sleep", sleep)
    await it.end(sigterm_time, "INT")
    assert stage.system.groups == [(COMMAND, asked)]
    assert not it.stubborn


async def test_first_asked_then_interrupted_then_killed(stage: Stage) -> None:
    """Each has its time; who goes when asked is not interrupted."""
    it = stage.start()
    await it.end(1.0, "INT")
    assert stage.system.groups == [(COMMAND, TERM), (COMMAND, INT), (COMMAND, KILL)]
    assert stage.system.now == pytest.approx(1.0 + BACKUP_TIMEOUT, abs=0.2)


async def test_who_goes_when_asked_is_not_interrupted(stage: Stage) -> None:
    """There is nobody left."""
    it = stage.start(heeds=[TERM])
    await it.end(1.0, "INT")
    assert stage.system.groups == [(COMMAND, TERM)]


async def test_a_signal_that_does_not_exist_is_the_one_that_ends(stage: Stage) -> None:
    """A configuration may name any."""
    it = stage.start()
    await it.end(None, "NONSENSE")
    assert stage.system.groups == [(COMMAND, KILL)]


async def test_what_hangs_is_given_up_and_stubborn(stage: Stage) -> None:
    """No signal ends what waits for a dead disk."""
    it = stage.start(hangs=True)
    await it.end(None, "KILL")
    assert it.stubborn
    assert stage.children.given_up == [COMMAND]
    assert stage.system.now == pytest.approx(KILL_PATIENCE, abs=0.1)


async def test_another_users_process_keeps_the_rest_no_longer(stage: Stage) -> None:
    """A group that may not be signalled is no error; who was not told is not waited for."""
    it = stage.start()
    stage.system.protect(COMMAND)
    stage.system.start(52, parent=COMMAND, heeds=[TERM])
    await it.end(3.0, "KILL")
    assert (52, TERM) in stage.system.signals
    assert stage.system.now < 2.0
    assert it.stubborn


async def test_after_its_end_its_group_is_no_longer_its(stage: Stage) -> None:
    """A number that was collected may be another's, and so may the group of that number."""
    it = stage.start()
    stage.system.start(60, parent=1, mark=MARK, group=COMMAND)
    stage.system.end(COMMAND)
    stage.system.start(COMMAND)
    stage.children.running = False
    await it.end(0.5, "INT")
    assert stage.system.groups == []
    assert stage.system.signals == [(60, TERM), (60, INT), (60, KILL)]
    assert stage.system.living() == sorted([KEEPER, GUARD, COMMAND])


async def test_what_ended_is_collected_between_rounds(stage: Stage) -> None:
    """Else a number would wait for ever."""
    it = stage.start()
    reaped = []
    stage.children.reap = lambda: reaped.append(stage.system.now)  # type: ignore[method-assign]
    stage.system.start(52, parent=COMMAND)
    await it.end(None, "KILL")
    assert len(reaped) == 1
