"""The guard of a keeper: whoever kills all of an agent does not leave its commands behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.unit.keeper_processes.driving.harness import Driven, alive, eventually, stream
from tests.unit.keeper_processes.driving.planting import pids, planted
from worker_agent.keeper.processes.belonging import MARK

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def guard_of(driven: Driven) -> psutil.Process:
    """The child of the keeper that is a copy of it."""
    keeper = psutil.Process(driven.keeper.pid)
    found = [child for child in keeper.children() if child.cmdline() == keeper.cmdline()]
    assert len(found) == 1
    return found[0]


def kill_all_of_the_agent(driven: Driven) -> None:
    """SIGKILL to the keeper, with no main process to see it."""
    driven.keeper.detach(60)
    os.kill(driven.keeper.pid, signal.SIGKILL)


async def test_a_tree_ends_with_keeper_and_main_process(driven: Driven) -> None:
    """Not only the command's own process, which is all that the kernel could be asked for."""
    await driven.open()
    await planted(driven)
    guard = guard_of(driven)
    of_the_tree = [pid for pid in pids(driven) if MARK in psutil.Process(pid).environ()]
    assert len(of_the_tree) == 4  # one has cleared its environment and forked twice: nobody can know whose it is

    kill_all_of_the_agent(driven)

    await eventually(lambda: not any(alive(pid) for pid in of_the_tree), "the tree is gone")
    await eventually(lambda: not alive(guard.pid), "the guard has done its work")


async def test_a_command_without_its_mark_ends_too(driven: Driven) -> None:
    """It replaced itself by a program with an empty environment: its number is known."""
    await driven.open()
    driven.shell("echo $$ ready; exec env -i sleep 600")
    await driven.output(b"ready")
    command = next(child for child in psutil.Process(driven.keeper.pid).children() if "sleep" in child.cmdline())

    kill_all_of_the_agent(driven)

    await eventually(lambda: not alive(command.pid), "the command is gone")


async def test_it_goes_with_its_session(driven: Driven) -> None:
    """A session that is closed leaves no process."""
    await driven.open()
    await driven.completed(driven.shell("echo done"))
    guard = guard_of(driven)

    await driven.keeper.close()

    assert not alive(guard.pid)


async def test_it_outlives_a_stop_of_the_first_command(driven: Driven) -> None:
    """Which ends what the keeper was left with in that time, as orphans of the command."""
    await driven.open()
    guard = guard_of(driven)
    n = await planted(driven)

    driven.keeper.interrupt(n, "enough")
    await driven.completed(n)

    assert alive(guard.pid)


async def test_one_that_was_killed_is_replaced(driven: Driven) -> None:
    """Before the next command starts."""
    await driven.open()
    first = guard_of(driven)
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: not psutil.pid_exists(first.pid), "its end was seen")

    events = await driven.completed(driven.shell("echo on"))
    await planted(driven)
    second = guard_of(driven)
    of_the_tree = [pid for pid in pids(driven) if MARK in psutil.Process(pid).environ()]
    kill_all_of_the_agent(driven)

    assert stream(events, "stdout") == b"on\n"
    assert second.pid != first.pid
    await eventually(lambda: not any(alive(pid) for pid in of_the_tree), "the tree is gone")


async def test_a_command_is_taken_first_when_memory_runs_out(driven: Driven) -> None:
    """And its keeper's own score is what it was."""
    await driven.open()
    score = Path(f"/proc/{driven.keeper.pid}/oom_score_adj")
    before = score.read_text()

    events = await driven.completed(driven.shell("sh -c 'cat /proc/self/oom_score_adj'"))

    assert stream(events, "stdout") == b"300\n"
    assert score.read_text() == before
