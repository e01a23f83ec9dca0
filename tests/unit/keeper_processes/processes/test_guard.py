"""The guard of a keeper: whoever kills all of an agent does not leave its commands behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness.processes import alive
from tests.harness.waiting import wait_for
from tests.unit.keeper_processes.driving.harness import PATIENCE, Driven, eventually, stream
from tests.unit.keeper_processes.driving.planting import pids, planted
from worker_agent.keeper.processes import guard as guards
from worker_agent.keeper.processes.belonging import MARK
from worker_agent.keeper.processes.guard import Guard

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def guard_of(driven: Driven) -> psutil.Process:
    """Its command line is there a moment after the keeper that starts it."""
    keeper = psutil.Process(driven.keeper.pid)

    def found() -> list[psutil.Process]:
        return [child for child in keeper.children() if "worker-agent guard" in child.cmdline()]

    (guard,) = wait_for(found, PATIENCE, lambda: f"a guard among {keeper.children()}")
    return guard


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


async def test_it_takes_next_to_no_memory(driven: Driven) -> None:
    """There is one with each session: a copy of its keeper took 5 MB."""
    await driven.open()
    await driven.completed(driven.shell("echo done"))

    assert guard_of(driven).memory_full_info().uss < 2_000_000  # bytes that it shares with no other process


async def test_signals_to_the_whole_service_do_not_end_it(driven: Driven) -> None:
    """The keeper ends in order, and is killed where that takes too long."""
    await driven.open()
    await planted(driven)
    guard = guard_of(driven)
    of_the_tree = [pid for pid in pids(driven) if MARK in psutil.Process(pid).environ()]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        guard.send_signal(number)

    kill_all_of_the_agent(driven)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if alive(guard.pid):
            guard.send_signal(number)

    await eventually(lambda: not any(alive(pid) for pid in of_the_tree), "the tree is gone")
    await eventually(lambda: not alive(guard.pid), "the guard has done its work")


@pytest.fixture
def two() -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    started = (subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sleep", "600"]))
    yield started
    for process in started:
        process.kill()
        process.wait()


async def test_a_process_that_has_a_commands_number_by_now_is_left_alone(
    two: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ended after the keeper, and before the guard looked."""
    command, stranger = two
    guard = Guard()
    guard.begin("s1")
    guard.watch(command.pid)
    monkeypatch.setattr(guards, "identity", lambda pid: "an earlier process of that number")
    guard.watch(stranger.pid)

    os.close(guard._life)  # as the end of the keeper does it
    os.waitpid(guard.pid, 0)

    assert command.wait() == -signal.SIGKILL
    assert stranger.poll() is None


@pytest.fixture
def marked() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts processes with the mark that is given."""
    started: list[subprocess.Popen[bytes]] = []

    def start(mark: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "600"], env={"LINES": "of\ntwo", MARK: mark, "LAST": "x"}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("python", [["/no/such/python"], [sys.executable, "-c", "import no_such_package"], ["false"]])
async def test_the_shell_ends_what_it_knows_where_its_python_does_not(
    two: tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]],
    marked: Callable[[str], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    python: list[str],
) -> None:
    """The package was removed or replaced while the build ran."""
    monkeypatch.setattr(guards, "isolated", lambda code: python)
    command, stranger = two
    ours, others = marked("s1/7"), marked("s11/7")
    guard = Guard()
    guard.begin("s1", os.devnull)
    guard.watch(stranger.pid)
    guard.watch(command.pid)
    guard.forget(stranger.pid)
    monkeypatch.setattr(guards, "identity", lambda pid: "an earlier process of that number")
    guard.watch(stranger.pid)

    os.close(guard._life)
    os.waitpid(guard.pid, 0)

    assert command.wait() == ours.wait() == -signal.SIGKILL
    assert stranger.poll() is None
    assert others.poll() is None


async def test_the_shell_ends_nothing_of_a_session_that_is_over(
    marked: Callable[[str], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "isolated", lambda code: ["/no/such/python"])
    process = marked("s1/7")
    guard = Guard()
    guard.begin("s1", os.devnull)
    guard.watch(process.pid)
    guard.rest()

    os.close(guard._life)
    os.waitpid(guard.pid, 0)

    assert process.poll() is None


async def test_one_that_was_stopped_does_not_keep_its_keeper_from_its_end() -> None:
    guard = Guard()
    guard.begin("s1")
    os.kill(guard.pid, signal.SIGSTOP)
    guard.over()
    assert guard.pid == 0


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
