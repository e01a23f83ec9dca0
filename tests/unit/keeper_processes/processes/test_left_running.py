"""What a build leaves running ends with it, except what was asked to be left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream
from worker_agent.keeper.processes.reaper import kill_tree
from worker_agent.keepers.client import kill_leftovers

LEAVE = "BUILDBOT_AMQP_COMMAND=leave setsid {} </dev/null >/dev/null 2>&1 & echo $!"
TOLD = b"left running after this build, as was asked for (BUILDBOT_AMQP_COMMAND=leave): "


@pytest.fixture
async def pids() -> AsyncIterator[list[int]]:
    """Processes that a test has left running."""
    found: list[int] = []
    yield found
    for pid in found:
        if alive(pid):
            await asyncio.to_thread(kill_tree, pid)


async def test_a_daemon_ends_with_the_build_and_the_agent_learns_of_it(driven: Driven) -> None:
    """By its name and number, without its arguments."""
    await driven.open()
    events = await driven.completed(driven.shell("setsid sleep 301 </dev/null >/dev/null 2>&1 & echo $!"))
    pid = int(stream(events, "stdout"))

    await driven.keeper.close()

    assert not alive(pid)
    assert driven.keeper.ended == (f"sleep (process {pid})",)
    assert TOLD not in stream(events, "header")


async def test_what_is_asked_to_be_left_lives_on_and_is_in_the_log(driven: Driven, pids: list[int]) -> None:
    """With all that it starts, also what it starts with another environment; told once."""
    await driven.open()
    command = LEAVE.format("sh -c 'env -i sleep 302 & touch up; wait'") + "; until test -e up; do sleep 0.1; done"
    events = await driven.completed(driven.shell(command))
    pids.append(int(stream(events, "stdout")))
    child = await started(pids[0])
    pids.append(child)
    later = await driven.completed(driven.shell("true"))

    await driven.keeper.close()

    assert alive(pids[0])
    assert alive(child)
    assert TOLD + b"sh (process %d)" % pids[0] in stream(events, "header")
    assert TOLD not in stream(later, "header")
    assert driven.keeper.ended == ()


async def started(pid: int) -> int:
    """The only child of `pid`."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    await eventually(lambda: children.read_text().split() != [], "its child")
    return int(children.read_text())


async def test_a_step_cannot_be_left_as_a_whole(driven: Driven) -> None:
    """The command itself is always the agent's, whatever its environment asks for."""
    await driven.open()
    n = driven.shell("echo $$; exec sleep 303", env={"BUILDBOT_AMQP_COMMAND": "leave"})
    event = await driven.next()
    while event.kind != "stdout":
        event = await driven.next()

    driven.keeper.interrupt(n, "enough")
    await driven.completed(n)

    assert not alive(int(event.data))


async def test_a_stop_spares_what_is_asked_to_be_left(driven: Driven, pids: list[int]) -> None:
    """It is not of the command any more."""
    await driven.open()
    n = driven.shell(LEAVE.format("sleep 304") + "; exec sleep 300")
    event = await driven.next()
    while event.kind != "stdout":
        event = await driven.next()
    pids.append(int(event.data))
    await eventually(lambda: os.getpgid(pids[0]) == pids[0], "setsid")

    driven.keeper.interrupt(n, "enough")
    await driven.completed(n)

    assert alive(pids[0])


async def test_it_outlives_a_keeper_that_is_killed(driven: Driven, pids: list[int]) -> None:
    """Whoever clears up after it keeps to the same rule."""
    await driven.open()
    events = await driven.completed(driven.shell(LEAVE.format("sleep 305")))
    pids.append(int(stream(events, "stdout")))
    daemon = int(stream(await driven.completed(driven.shell("setsid sleep 306 >/dev/null 2>&1 & echo $!")), "stdout"))

    os.kill(driven.keeper.pid, signal.SIGKILL)
    await eventually(lambda: driven.lost is not None, "KeeperLost")
    await asyncio.to_thread(kill_leftovers, driven.session, str(driven.folder))

    assert not alive(daemon)
    assert alive(pids[0])
