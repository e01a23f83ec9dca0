"""A keeper whose session is over takes the next one; nothing of the first is left in it, or it ends."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from contracts.messages import Command
from tests.harness.processes import alive
from tests.unit.keeper_processes.test_fork_server import completed, descriptors, opened, ran, until
from worker_agent.keeper import orders, reuse
from worker_agent.keeper.apart import ApartProcess
from worker_agent.keeper.giving_back import Program
from worker_agent.keeper.reuse import Before, next_session
from worker_agent.keeper.settings import KeeperConfig
from worker_agent.keepers import starting
from worker_agent.keepers.client import Keeper
from worker_agent.keepers.starting import Starter


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    made = Starter()
    yield made
    await made.end()


async def over(keeper: Keeper, starter: Starter) -> bool:
    """Close its session as `Sessions` does. True: it waits for the next one."""
    await keeper.close(again=starter.takes_back)
    if keeper.left is None:
        return False
    starter.take_back(keeper.left)
    return True


def guard_of(keeper: int) -> int:
    (found,) = psutil.Process(keeper).children()
    return found.pid


async def test_a_keeper_takes_the_next_session(tmp_path: Path, starter: Starter) -> None:
    """The same process, with the second session's folder, log and identity, and no descriptor of the first."""
    first = await opened(tmp_path, "s1", starter)
    guard, before = guard_of(first.pid), len(descriptors(first.pid))
    assert await ran(first, tmp_path, ["echo", "one"]) == b"one\n"
    assert await over(first, starter)
    assert not (tmp_path / "sessions/s1").exists()
    await until(lambda: psutil.Process(first.pid).cwd() == "/", "it has left the folder")
    await until(lambda: not [path for path in descriptors(first.pid) if "s1" in path], "it has closed its log")
    assert not [path for path in (*descriptors(first.pid), *descriptors(guard)) if "s1" in path]

    second = await opened(tmp_path, "s2", starter)
    assert second.pid == first.pid
    assert guard_of(second.pid) == guard
    assert len(descriptors(second.pid)) == before
    assert psutil.Process(second.pid).cwd() == str(tmp_path / "sessions/s2")
    assert (tmp_path / "sessions/s2/keeper.pid").read_text().split()[0] == str(second.pid)
    assert (tmp_path / "sessions/s2/keeper.log").exists()
    told = await ran(
        second, tmp_path, "echo two; grep -E 'Sig(Ign|Blk)' /proc/self/status; echo $BUILDBOT_AMQP_COMMAND"
    )
    assert told.split()[0] == b"two"
    assert told.split()[-1] == b"s2/1"
    assert await over(second, starter)


#: A fork server whose keepers write, before each session, how many objects of Python they have that the server has not.
COUNTING = """
import gc, sys
from worker_agent.keeper import orders, reuse
from worker_agent.keeper.giving_back import Program
wait = reuse.next_session
async def counted(connection):
    with open({path!r}, "a") as file:
        print(len(gc.get_objects()), file=file)
    return await wait(connection)
reuse.next_session = counted
from worker_agent.keeper.fork_server import serve
serve(int(sys.argv[2]), *sys.argv[3:])
"""


async def test_a_keeper_has_as_many_objects_after_each_session(
    tmp_path: Path, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each session left some 45, found when 700 had come together, and a timer of the main process's end, which held
    the session for half a second."""
    counts = tmp_path / "counts"
    monkeypatch.setattr(starting, "_PROGRAM", COUNTING.format(path=str(counts)))
    sessions, pids = 8, set()
    for number in range(sessions):
        keeper = await opened(tmp_path, f"s{number}", starter)
        pids.add(keeper.pid)
        keeper.give_back(orders.give_back(Program(command=["true"], environment={}, folder="/")))
        assert await ran(keeper, tmp_path, ["echo", str(number)]) == b"%d\n" % number
        assert await over(keeper, starter)
    await until(lambda: len(counts.read_text().split()) == 1 + sessions, "it waits for one session more")
    assert len(pids) == 1
    _, _, *after = map(int, counts.read_text().split())  # what is made once: by the first session
    assert max(after) - min(after) < 5, after


async def test_the_guard_ends_what_the_second_session_runs(tmp_path: Path, starter: Starter) -> None:
    """The keeper is killed, and no main process sees it."""
    first = await opened(tmp_path, "s1", starter)
    await ran(first, tmp_path, ["true"])
    assert await over(first, starter)
    second = await opened(tmp_path, "s2", starter)
    guard = guard_of(second.pid)
    left = int(await ran(second, tmp_path, "sleep 600 >/dev/null 2>&1 & echo $!"))
    assert alive(left)
    second.detach(60)
    os.kill(second.pid, signal.SIGKILL)
    await until(lambda: not alive(left), "what carries the second session's mark is gone")
    await until(lambda: not alive(guard), "the guard has ended")


async def test_a_guard_that_was_killed_meanwhile_is_replaced(tmp_path: Path, starter: Starter) -> None:
    first = await opened(tmp_path, "s1", starter)
    assert await over(first, starter)
    guard = guard_of(first.pid)
    os.kill(guard, signal.SIGKILL)
    await until(lambda: not alive(guard), "it is dead")
    second = await opened(tmp_path, "s2", starter)
    assert second.pid == first.pid
    assert guard_of(second.pid) != guard
    await second.close()


async def test_a_keeper_that_was_killed_while_it_waited_costs_no_session(tmp_path: Path, starter: Starter) -> None:
    first = await opened(tmp_path, "s1", starter)
    assert await over(first, starter)
    guard = guard_of(first.pid)
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: not alive(first.pid) and not alive(guard), "it and its guard are gone")
    second = await opened(tmp_path, "s2", starter)
    assert second.pid != first.pid
    assert await ran(second, tmp_path, ["echo", "two"]) == b"two\n"
    await second.close()


async def test_however_many_were_killed_while_they_waited_no_session_is_lost(tmp_path: Path, starter: Starter) -> None:
    """Somebody who kills all keepers, or a machine that is short of memory: two of them cost the next session."""
    keepers = [await opened(tmp_path, f"s{number}", starter) for number in range(3)]
    for keeper in keepers:
        assert await over(keeper, starter)
    for keeper in keepers:
        os.kill(keeper.pid, signal.SIGKILL)
    await until(lambda: not any(alive(keeper.pid) for keeper in keepers), "they are gone")
    next_one = await opened(tmp_path, "s4", starter)
    assert await ran(next_one, tmp_path, ["echo", "four"]) == b"four\n"
    await next_one.close()


#: What a service manager may send to all processes of a service: SIGTERM, or what its unit says, or SIGHUP beside it.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize("number", ENDING)
async def test_one_that_waits_ends_when_it_is_told_to(tmp_path: Path, starter: Starter, number: signal.Signals) -> None:
    """With its guard, and the next session has another one."""
    first = await opened(tmp_path, "s1", starter)
    assert await over(first, starter)
    guard = guard_of(first.pid)
    os.kill(first.pid, number)
    await until(lambda: not alive(first.pid) and not alive(guard), "it and its guard are gone")
    second = await opened(tmp_path, "s2", starter)
    assert second.pid != first.pid
    await second.close()


@pytest.mark.parametrize("number", ENDING)
async def test_a_told_end_reaches_the_session_that_there_is(
    tmp_path: Path, starter: Starter, number: signal.Signals
) -> None:
    """Not the one before, which the same process had. It ends in order, whichever signal it is."""
    first = await opened(tmp_path, "s1", starter)
    assert await over(first, starter)
    second = await opened(tmp_path, "s2", starter)
    assert second.pid == first.pid
    os.kill(second.pid, number)
    await until(lambda: not alive(second.pid), "it has ended its session")
    assert number.name in (tmp_path / "sessions/s2/keeper.log").read_text()
    await second.close()


#: A fork server whose keepers are told to end while they look whether they are as they were before.
TOLD_AT_THE_END = """
import asyncio, os, signal, sys
from worker_agent.keeper import reuse
from worker_agent.keeper.server import KeeperServer
heard, tell = asyncio.Event(), KeeperServer.told_to_end
def told(*arguments):
    tell(*arguments)
    heard.set()
async def is_now(before):
    os.kill(os.getpid(), signal.SIGTERM)
    await heard.wait()
    return True
KeeperServer.told_to_end, reuse.Before.is_now = told, is_now
from worker_agent.keeper.fork_server import serve
serve(int(sys.argv[2]), *sys.argv[3:])
"""


async def test_an_end_that_is_told_as_a_session_ends_is_not_lost(
    tmp_path: Path, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper took the next session, or waited for one, as if nobody had said anything."""
    monkeypatch.setattr(starting, "_PROGRAM", TOLD_AT_THE_END)
    keeper = await opened(tmp_path, "s1", starter)
    assert not await over(keeper, starter)
    assert not alive(keeper.pid)


#: A fork server whose keepers cannot look for what is left of a session.
CANNOT_END = """
import sys
from worker_agent.keeper.commands.running import Commands
async def end(commands):
    raise OSError(24, "Too many open files")
Commands.end = end
from worker_agent.keeper.fork_server import serve
serve(int(sys.argv[2]), *sys.argv[3:])
"""


async def test_what_a_keeper_cannot_end_its_guard_ends(
    tmp_path: Path, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper killed its guard before it ended: where no main process was there, commands went on for ever."""
    monkeypatch.setattr(starting, "_PROGRAM", CANNOT_END)
    keeper = await opened(tmp_path, "s1", starter)
    guard = guard_of(keeper.pid)
    left = int(await ran(keeper, tmp_path, "sleep 600 >/dev/null 2>&1 & echo $!"))
    try:
        keeper.detach(60)
        os.kill(keeper.pid, signal.SIGTERM)
        await until(lambda: not alive(keeper.pid), "it has ended")
        await until(lambda: not alive(guard), "so has its guard")
        assert not alive(left)
    finally:
        if alive(left):
            os.kill(left, signal.SIGKILL)


@pytest.mark.parametrize(
    "command",
    [
        "renice -n 5 -p $PPID",
        "ionice -c 3 -p $PPID",
        "chrt -b -p 0 $PPID",
        "prlimit --nofile=500: --pid $PPID",
        "echo 500 >/proc/$PPID/oom_score_adj",
    ],
)
async def test_what_a_command_does_to_its_keeper_ends_with_the_session(
    tmp_path: Path, starter: Starter, command: str
) -> None:
    """Its priority and its limits would be the next session's, which may be of another master."""
    keeper = await opened(tmp_path, "s1", starter)
    assert await ran(keeper, tmp_path, f"({command}) >/dev/null && echo done") == b"done\n"
    assert not await over(keeper, starter)
    assert not alive(keeper.pid)


async def test_a_folder_for_temporary_files_is_looked_for_in_each_session(tmp_path: Path) -> None:
    """Where the first session found room for its archive, there may be no folder any more."""
    folder = tmp_path / "temporary"
    os.makedirs(folder)
    os.makedirs(tmp_path / "base/b/sent")
    starter = Starter(env={**os.environ, "TMPDIR": str(folder)})
    pids = set()
    args = {"workdir": ".", "workersrc": "sent", "maxsize": None, "blocksize": 4096, "compress": None, "writer": None}
    for session in ("s1", "s2"):
        keeper = await opened(tmp_path, session, starter)
        pids.add(keeper.pid)
        told = await completed(keeper, tmp_path, Command(n=1, name="uploadDirectory", args=args, digest="d"))
        assert next(event.value for event in told if event.kind == "update") == ["rc", 0]
        assert await over(keeper, starter)
        if folder.exists():
            folder.rmdir()
    assert len(pids) == 1
    await starter.end()


async def test_one_that_waits_ends_with_the_main_process_and_with_an_idle_agent(
    tmp_path: Path, starter: Starter
) -> None:
    """Its connection is closed: by the system when the main process dies, by the starter when nothing comes."""
    keeper = await opened(tmp_path, "s1", starter)
    assert await over(keeper, starter)
    guard = guard_of(keeper.pid)
    await starter.end()
    await until(lambda: not alive(keeper.pid) and not alive(guard), "it and its guard are gone")


async def test_limits_set_meanwhile_hold_for_the_next_session(tmp_path: Path, starter: Starter) -> None:
    first = await opened(tmp_path, "s1", starter)
    assert await over(first, starter)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    wanted = 4096 if soft != 4096 else 8192
    resource.setrlimit(resource.RLIMIT_CORE, (wanted, hard))
    try:
        second = await opened(tmp_path, "s2", starter)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert second.pid != first.pid
    assert psutil.Process(second.pid).rlimit(resource.RLIMIT_CORE)[0] == wanted
    await second.close()


async def test_a_thread_that_hangs_ends_with_its_session(tmp_path: Path, starter: Starter) -> None:
    """An upload's file is a FIFO that nobody writes: the call does not come back, and the process is not used again."""
    os.makedirs(tmp_path / "base/b")
    os.mkfifo(tmp_path / "base/b/fifo")
    keeper = await opened(tmp_path, "s1", starter)
    args = {"workdir": ".", "workersrc": "fifo", "maxsize": None, "blocksize": 4096, "writer": None}
    keeper.run(Command(n=1, name="uploadFile", args=args, digest="d"))
    await until(lambda: len(psutil.Process(keeper.pid).threads()) > 1, "its thread has begun")
    assert not await over(keeper, starter)
    assert not psutil.pid_exists(keeper.pid)


async def test_what_a_session_leaves_running_on_purpose_is_not_taken_along(tmp_path: Path, starter: Starter) -> None:
    """It is a child of its keeper, which ends with its session."""
    keeper = await opened(tmp_path, "s1", starter)
    told = await ran(keeper, tmp_path, "BUILDBOT_AMQP_COMMAND=leave setsid sleep 600 >/dev/null 2>&1 & echo $!")
    left = int(told)
    try:
        assert not await over(keeper, starter)
        assert alive(left)
    finally:
        os.kill(left, signal.SIGKILL)


async def test_nothing_is_said_after_a_close(tmp_path: Path, starter: Starter) -> None:
    """The keeper would take it for the next session's beginning."""
    first = await opened(tmp_path, "s1", starter)
    closing = asyncio.ensure_future(over(first, starter))
    await asyncio.sleep(0)
    first.let_go("copy")
    first.trim(17)
    assert await closing
    second = await opened(tmp_path, "s2", starter)
    assert second.pid == first.pid
    await second.close()


class Process:
    """What a look finds: descriptors and bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.descriptors, self.memory = 10, 20_000_000
        monkeypatch.setattr(reuse, "_descriptors", lambda: self.descriptors)
        monkeypatch.setattr(reuse, "_memory", lambda: self.memory)


@pytest.mark.parametrize(
    ("descriptors", "memory", "same"),
    [
        (10, 20_000_000, True),
        (9, 20_000_000 + reuse.GROWN_MAX, True),
        (11, 20_000_000, False),
        (10, 20_000_001 + reuse.GROWN_MAX, False),
        (0, 20_000_000, False),
        (10, 0, False),
    ],
)
async def test_what_has_grown_is_not_as_before(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, memory: int, same: bool
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    process = Process(monkeypatch)
    before = Before()
    process.descriptors, process.memory = descriptors, memory
    assert await before.is_now() is same


async def test_a_thread_more_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    Process(monkeypatch)
    before = Before()
    left = iter([3, 2, 1])
    monkeypatch.setattr(threading, "active_count", lambda: next(left))
    assert await before.is_now()
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    assert not await before.is_now()


async def test_no_fork_server_beside_keepers_for_all_slots(tmp_path: Path) -> None:
    """It is there for a session that has no keeper: the first one, one beside others, and the next where a keeper does
    not go on."""
    held: set[str] = set()
    starter = Starter(room=lambda: 2 - len(held))

    async def begun(session: str) -> Keeper:
        held.add(session)
        return await opened(tmp_path, session, starter)

    async def ended(session: str, keeper: Keeper) -> bool:
        again = await over(keeper, starter)
        held.remove(session)
        starter.session_over()
        return again

    starter.warm_up()
    await until(lambda: bool(starter.pids), "a server for the first session")
    (pid,) = starter.pids
    first = await begun("s1")
    second = await begun("s2")
    assert await ended("s1", first)
    await until(lambda: not psutil.pid_exists(pid), "none while one slot has its session, and the other its keeper")
    assert not starter.pids
    third = await begun("s3")
    assert third.pid == first.pid
    assert await ran(third, tmp_path, ["echo", "three"]) == b"three\n"
    starter.take_back = lambda keeper: keeper.connection.close()  # type: ignore[method-assign]
    await ended("s3", third)
    await until(lambda: bool(starter.pids), "one for the session that has no keeper")
    fourth = await begun("s4")
    assert await ran(fourth, tmp_path, ["echo", "four"]) == b"four\n"
    for session, keeper in (("s2", second), ("s4", fourth)):
        await ended(session, keeper)
    await starter.end()


async def test_there_is_no_next_session_where_the_main_process_was_killed() -> None:
    """Also where it had not read yet what its keeper said: then the connection is reset, not closed."""
    for unread in (b"", b"who I am"):
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(unread)
            ours.close()
            assert await next_session(theirs) is None


async def test_one_whose_process_for_commands_is_gone_waits_no_more() -> None:
    """A build of that user killed all of the user's processes: the next session would have been lost, too."""
    ours, theirs = socket.socketpair()
    process, its_end = socket.socketpair()
    keeper = reuse._Process(cast(ApartProcess, SimpleNamespace(socket=process)))
    waiting = asyncio.ensure_future(reuse._next(keeper, theirs))
    await asyncio.sleep(0)
    its_end.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 60)
    for end in (ours, theirs, process):
        end.close()


async def test_of_the_next_session_its_settings_are_read_and_nothing_more(tmp_path: Path) -> None:
    """Also where they come later than one looks for them."""
    ours, theirs = socket.socketpair()
    waiting = asyncio.ensure_future(next_session(theirs))
    await asyncio.sleep(0)
    config = KeeperConfig(session="s2", folder=str(tmp_path), basedir=str(tmp_path), builddir="b")
    ours.sendall(config.dumps().encode() + b"\n{}")
    assert await waiting == config
    assert theirs.recv(9) == b"{}"
    ours.close()
    assert await next_session(theirs) is None
    theirs.close()
