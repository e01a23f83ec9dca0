"""Keepers are forked from a fork server: each is as one that was started anew, and outlives the server."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from contracts.messages import Command, Event
from worker_agent.core.inputs import Journalled
from worker_agent.keepers import client, starting
from worker_agent.keepers.client import Keeper, KeeperFailed, KeeperInput
from worker_agent.keepers.journal_reader import JournalFiles
from worker_agent.keepers.starting import Starter

DEADLINE = 20.0


async def until(condition: Callable[[], bool], what: str) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    try:
        await asyncio.wait_for(look(), DEADLINE)
    except asyncio.TimeoutError:
        raise AssertionError(f"not within {DEADLINE} s: {what}") from None


@pytest.fixture
async def starter() -> AsyncIterator[Starter]:
    made = Starter(env={**os.environ, "GIVEN": "to the agent", "WORKER_AGENT_AMQP_URL": "amqp://secret"})
    yield made
    await made.end()


def server(starter: Starter) -> int:
    (pid,) = starter.pids
    return pid


async def opened(state: Path, session: str, starter: Starter) -> Keeper:
    return await Keeper.open(
        session=session, folder=str(state / "sessions" / session), basedir=str(state / "base"), builddir="b",
        on_input=lambda news: None, starter=starter,
    )  # fmt: skip


async def ran(keeper: Keeper, state: Path, command: object) -> bytes:
    """What `command` prints, once it is complete."""
    args = {"command": command, "workdir": "build"}
    events = await completed(keeper, state, Command(n=1, name="shell", args=args, digest="d"))
    return b"".join(event.data for event in events if event.kind == "stdout")


async def completed(keeper: Keeper, state: Path, command: Command) -> list[Event]:
    """What is journalled of `command`, the session's first, up to its end."""
    told: list[KeeperInput] = []
    keeper._on_input = told.append
    keeper.run(command)
    journal, events = JournalFiles(state), list[Event]()

    def complete() -> bool:
        while (event := journal.read(keeper.session, len(events) + 1)) is not None:
            events.append(event)
        return "completed" in [event.kind for event in events]

    await until(complete, "the command completes")
    journal.close()
    assert any(isinstance(news, Journalled) for news in told)
    return events


async def test_a_keeper_is_as_one_that_was_started_anew(tmp_path: Path, starter: Starter) -> None:
    """Given two sessions, each keeper is our child, in a session and folder of its own, with no more than its own
    descriptors and the environment of commands; its commands get that, and default signals."""
    first, second = await opened(tmp_path, "s1", starter), await opened(tmp_path, "s2", starter)
    process = psutil.Process(second.pid)
    assert process.ppid() == os.getpid()
    assert os.getsid(second.pid) == second.pid != os.getsid(first.pid)
    assert process.cwd() == str(tmp_path / "sessions/s2")
    assert process.name() == "keeper"
    assert "WORKER_AGENT_AMQP_URL" not in process.environ()
    sockets = [path for path in descriptors(second.pid) if path.startswith("socket:")]

    async def closed() -> None:
        while not set(sockets).isdisjoint(descriptors(server(starter))):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(closed(), 10)  # the server closes its copy once the keeper is there
    assert set(sockets).isdisjoint(descriptors(first.pid))
    assert (tmp_path / "sessions/s2/keeper.log").exists()
    told = await ran(second, tmp_path, "echo $GIVEN; umask; grep -E 'Sig(Ign|Blk)' /proc/self/status")
    assert told.decode().split() == [
        "to", "the", "agent", f"{current_umask():04o}", "SigBlk:", "0" * 16, "SigIgn:", inherited_ignored(),
    ]  # fmt: skip
    for keeper in (first, second):
        await keeper.close()
        assert not psutil.pid_exists(keeper.pid)


def inherited_ignored() -> str:
    """What a program that is started anew has from us, which may be `nohup`'s: without what Python itself ignores."""
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigIgn:"))
    mask = int(own.split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        mask &= ~(1 << (number - 1))
    return f"{mask:016x}"


def descriptors(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    return [os.readlink(folder / name) for name in os.listdir(folder)]


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_a_keeper_outlives_its_fork_server(tmp_path: Path, starter: Starter) -> None:
    """The server is killed while a session runs: that goes on, and the next session has another server."""
    keeper = await opened(tmp_path, "s1", starter)
    before = server(starter)
    os.kill(before, signal.SIGKILL)
    await until(lambda: psutil.Process(before).status() == psutil.STATUS_ZOMBIE, "the server is dead")
    assert await ran(keeper, tmp_path, ["echo", "goes on"]) == b"goes on\n"
    other = await opened(tmp_path, "s2", starter)
    assert server(starter) != before
    assert await ran(other, tmp_path, ["echo", "begins"]) == b"begins\n"
    await keeper.close()
    await other.close()


async def test_a_killed_keeper_is_told_of_with_its_signal(tmp_path: Path, starter: Starter) -> None:
    keeper = await opened(tmp_path, "s1", starter)
    told: list[KeeperInput] = []
    keeper._on_input = told.append
    os.kill(keeper.pid, signal.SIGKILL)
    await until(lambda: bool(told), "the loss is told")
    assert getattr(told[0], "reason", "") == "its keeper was killed by signal 9"
    assert not psutil.pid_exists(keeper.pid)


async def test_a_fork_server_ends_with_its_main_process(tmp_path: Path, starter: Starter) -> None:
    """Its socket is closed, as the system does it when the main process dies; its keeper waits for the next one."""
    keeper = await opened(tmp_path, "s1", starter)
    assert starter._server is not None
    starter._server.close()
    await until(lambda: not starter._server or starter._server.process.poll() == 0, "the server has ended")
    assert await ran(keeper, tmp_path, ["echo", "lives"]) == b"lives\n"
    await keeper.close()


async def test_a_fork_server_that_hangs_is_replaced(
    tmp_path: Path, starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something has stopped it: the session that waited is lost and says so, the next one is not."""
    starter.take().connection.close()
    before = server(starter)
    os.kill(before, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(client, "_HELLO", 0.2)
        patched.setattr(starting, "_END", 0.2)
        with pytest.raises(KeeperFailed, match="s1: its keeper did not start: it said nothing"):
            await opened(tmp_path, "s1", starter)
        await until(lambda: not psutil.pid_exists(before), "the server is gone")
    keeper = await opened(tmp_path, "s2", starter)
    assert await ran(keeper, tmp_path, ["echo", "begins"]) == b"begins\n"
    await keeper.close()


async def test_limits_set_meanwhile_hold_for_the_next_keeper(tmp_path: Path, starter: Starter) -> None:
    """Somebody gives the main process other limits (prlimit, a control group): a server with the old ones goes."""
    first = await opened(tmp_path, "s1", starter)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    wanted = 4096 if soft != 4096 else 8192
    resource.setrlimit(resource.RLIMIT_CORE, (wanted, hard))
    try:
        second = await opened(tmp_path, "s2", starter)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert psutil.Process(first.pid).rlimit(resource.RLIMIT_CORE)[0] == soft
    assert psutil.Process(second.pid).rlimit(resource.RLIMIT_CORE)[0] == wanted
    await first.close()
    await second.close()


async def test_an_idle_agent_lets_its_fork_server_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a session there is one; it ends when no other session comes for a while; after `end` none is made."""
    monkeypatch.setattr(starting, "LINGER", 0.3)
    idle = Starter()
    idle.session_over()
    await until(lambda: bool(idle.pids), "a server is made")
    pid = server(idle)
    await until(lambda: not idle.pids and not psutil.pid_exists(pid), "the server is gone")
    await idle.end()
    idle.session_over()
    await asyncio.sleep(0)
    assert not idle.pids


async def test_a_long_session_keeps_the_fork_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a session runs the agent is not idle: the server is still there at its end."""
    monkeypatch.setattr(starting, "LINGER", 0.5)
    monkeypatch.setattr(starting, "REFILL", 0.0)
    running, idle = Starter(), Starter()
    running.session_over()
    running.take().connection.close()
    idle.session_over()  # after it: what is due for both is due for `running` first
    await until(lambda: bool(idle.pids), "a server is made")
    made = running.pids
    await until(lambda: not idle.pids, "the idle agent's server is gone")
    assert running.pids == made != set()
    running.session_over()
    await until(lambda: not running.pids, "the server is gone")
    await running.end()
    await idle.end()
