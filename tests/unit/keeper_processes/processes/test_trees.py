"""Nothing of a command survives its end: interrupt, time limits, close, loss of the keeper or of the main process."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import Driven, eventually, stream, update
from tests.unit.keeper_processes.driving.planting import pids, plant, planted
from worker_agent.keepers.client import Keeper, kill_leftovers

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("polite", [{}, {"sigtermTime": 0.3}, {"interruptSignal": "INT"}], ids=str)
async def test_an_interrupt_ends_the_whole_tree(driven: Driven, polite: dict[str, object]) -> None:
    """Also children that changed their group or session, forked twice, ignore SIGTERM or have another environment."""
    await driven.open()
    n = await planted(driven, **polite)

    driven.keeper.interrupt(n, "enough")
    events = await driven.completed(n)

    assert not any(alive(pid) for pid in pids(driven))
    assert events[-1].interrupted == "enough"
    assert update(events, "rc") == -1


@pytest.mark.parametrize("limit", [{"timeout": 1.5}, {"maxTime": 1.5}], ids=str)
async def test_a_time_limit_ends_the_whole_tree(driven: Driven, limit: dict[str, object]) -> None:
    """When the command's time is over, so is that of all it started."""
    await driven.open()
    n = await planted(driven, **limit)

    events = await driven.completed(n)

    assert not any(alive(pid) for pid in pids(driven))
    assert update(events, "failure_reason") in ("timeout", "timeout_without_output")
    assert events[-1].interrupted is None


async def test_what_a_successful_command_leaves_lives_until_the_session_closes(driven: Driven) -> None:
    """As with Buildbot's worker a daemon serves later steps; with the session it goes."""
    await driven.open()
    command = " ".join(plant(driven)) + " >/dev/null 2>&1"
    events = await driven.completed(driven.shell(command))
    assert update(events, "rc") == 0
    assert len(pids(driven)) == 5
    await driven.run("shell", {"workdir": "build", "command": "true"})
    assert all(alive(pid) for pid in pids(driven))

    await driven.keeper.close()

    assert not any(alive(pid) for pid in pids(driven))
    assert not driven.folder.exists()


async def test_an_interrupt_spares_what_an_earlier_command_left(driven: Driven) -> None:
    """Only the interrupted command's processes end."""
    await driven.open()
    events = await driven.completed(driven.shell("setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!"))
    server = int(stream(events, "stdout"))
    n = await planted(driven)

    driven.keeper.interrupt(n, "enough")
    await driven.completed(n)

    assert not any(alive(pid) for pid in pids(driven))
    assert alive(server)
    await driven.keeper.close()
    assert not alive(server)


async def test_a_command_is_over_when_its_output_is(driven: Driven) -> None:
    """As with Buildbot's worker: what a child in the background prints belongs to the command."""
    await driven.open()

    events = await driven.completed(driven.shell("(sleep 0.5; echo late) & echo early"))

    assert stream(events, "stdout") == b"early\nlate\n"


async def test_an_interrupt_ends_a_child_that_holds_the_output(driven: Driven) -> None:
    """Although the command's own process has ended long before."""
    await driven.open()
    n = driven.shell("sleep 300 & echo $!; exec 3>&-")
    event = await driven.next()
    while event.kind != "stdout":
        event = await driven.next()
    child = int(event.data)
    await eventually(lambda: psutil.Process(child).ppid() == driven.keeper.pid, "its parent to end")

    driven.keeper.interrupt(n, "enough")
    events = await driven.completed(n)

    assert not alive(child)
    assert update(events, "rc") == -1


async def test_closing_ends_a_running_command_and_removes_the_folder(driven: Driven) -> None:
    """`close` returns when no process is left; it is not a loss."""
    await driven.open()
    await planted(driven)

    await driven.keeper.close()

    assert not any(alive(pid) for pid in pids(driven))
    assert not alive(driven.keeper.pid)
    assert driven.lost is None


async def test_closing_can_keep_the_journal(driven: Driven) -> None:
    """Rule 17: a session that was put aside can still be replayed."""
    await driven.open()
    await driven.run("shell", {"workdir": "build", "command": "echo kept"})
    last = driven.journal.last_seq(driven.session)

    await driven.keeper.close(keep_journal=True)

    events = [driven.journal.read(driven.session, seq) for seq in range(1, last + 1)]
    assert stream([event for event in events if event], "stdout") == b"kept\n"


async def test_a_killed_keeper_takes_its_processes_along(driven: Driven) -> None:
    """kill -9 of the keeper: the main process ends what it left, and says so."""
    await driven.open()
    await planted(driven)

    os.kill(driven.keeper.pid, signal.SIGKILL)
    await eventually(lambda: driven.lost is not None, "KeeperLost")

    assert driven.lost is not None
    assert "signal 9" in driven.lost.reason
    # What cleared its environment and left the tree has no mark by which it could be found.
    marked = [pid for pid in pids(driven) if "bare" not in names(driven, pid)]
    assert not any(alive(pid) for pid in marked)


def names(driven: Driven, pid: int) -> str:
    return next(file.name for file in (driven.build / "build").glob("pid-*") if file.read_text() == str(pid))


async def test_leftovers_of_a_keeper_that_hangs_are_killed_when_the_agent_starts(driven: Driven) -> None:
    """An agent that finds the folder of a session whose keeper cannot be talked to ends both keeper and commands."""
    await driven.open()
    await planted(driven)
    keeper = driven.keeper.pid
    driven.keeper.detach(60)
    (driven.folder / "keeper.sock").unlink()

    left = await asyncio.to_thread(kill_leftovers, driven.session, str(driven.folder))

    assert left == []
    assert not any(alive(pid) for pid in pids(driven))
    assert not psutil.pid_exists(keeper) or psutil.Process(keeper).status() == psutil.STATUS_ZOMBIE


async def test_attaching_to_a_dead_keeper_finds_none(driven: Driven, tmp_path: Path) -> None:
    """No keeper, no session: None, and nothing of it runs."""
    await driven.open()
    await planted(driven)
    os.kill(driven.keeper.pid, signal.SIGKILL)
    await eventually(lambda: driven.lost is not None, "KeeperLost")

    found = await Keeper.attach(session=driven.session, folder=str(driven.folder), on_input=driven.on_input)

    assert found is None
