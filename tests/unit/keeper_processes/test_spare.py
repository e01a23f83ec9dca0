"""Keepers in waiting: a session starts at once in one, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from contracts.messages import Command
from contracts.operations import memory
from worker_agent.core.inputs import Journalled
from worker_agent.keeper.spare import Spare
from worker_agent.keepers import spares
from worker_agent.keepers.client import Keeper, KeeperInput
from worker_agent.keepers.journal_reader import JournalFiles
from worker_agent.keepers.spares import Spares

DEADLINE = 20.0


async def until(condition: Callable[[], bool], what: str) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    try:
        await asyncio.wait_for(look(), DEADLINE)
    except asyncio.TimeoutError:
        raise AssertionError(f"not within {DEADLINE} s: {what}") from None


async def run_true(state: Path, spare: Spare | None) -> tuple[Keeper, list[str]]:
    """Open a session in `spare` and run `true`; the keeper, and the kinds of its events."""
    told: list[int] = []

    def on_input(news: KeeperInput) -> None:
        if isinstance(news, Journalled):
            told.append(news.seq)

    folder = state / "sessions" / "s1"
    keeper = await Keeper.open(
        session="s1", folder=folder, basedir=state / "base", builddir="b", on_input=on_input, spare=spare
    )
    keeper.run(Command(n=1, name="shell", args={"command": ["true"], "workdir": "build"}, digest="d"))
    kinds: list[str] = []
    journal = JournalFiles(state)

    def complete() -> bool:
        while (event := journal.read("s1", len(kinds) + 1)) is not None:
            kinds.append(event.kind)
        return "completed" in kinds

    await until(complete, "the command completes")
    journal.close()
    return keeper, kinds


async def test_a_session_runs_in_a_spare(tmp_path: Path) -> None:
    """Given a waiting keeper, when a session opens, then that process is its keeper and writes that session's log."""
    spare = Spare({**os.environ, "GIVEN": "to the spare"})
    keeper, kinds = await run_true(tmp_path, spare)
    assert keeper.pid == spare.process.pid
    assert kinds[0] == "started"
    assert kinds[-1] == "completed"
    assert (tmp_path / "sessions/s1/keeper.log").exists()
    assert os.readlink(f"/proc/{keeper.pid}/cwd") == str(tmp_path / "sessions/s1")
    await keeper.close()
    assert not psutil.pid_exists(spare.process.pid)


async def test_a_spare_that_died_is_no_loss(tmp_path: Path) -> None:
    """Given a waiting keeper that was killed, when a session opens, then another process is its keeper."""
    spare = Spare(os.environ)
    os.kill(spare.process.pid, signal.SIGKILL)
    await until(lambda: not spare.alive, "the spare is dead")
    keeper, kinds = await run_true(tmp_path, spare)
    assert keeper.pid != spare.process.pid
    assert kinds[-1] == "completed"
    await keeper.close()


async def test_a_spare_ends_with_its_main_process() -> None:
    """A spare whose socket is closed, as the system does it when the main process dies, ends by itself."""
    spare = Spare(os.environ)
    spare.socket.close()
    await until(lambda: not spare.alive, "the spare has ended")
    assert spare.process.returncode == 0


async def test_an_idle_agent_lets_its_spare_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a session there is a spare; it ends when no other session comes for a while; after `end` none is made.

    The memory that is free goes back to the system later, too.
    """
    given_back: list[bool] = []
    monkeypatch.setattr(spares, "LINGER", 0.3)
    monkeypatch.setattr(spares, "KEEP", 0.6)
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(True))
    waiting = Spares()
    assert waiting.take() is None
    waiting.session_over()
    await until(lambda: bool(waiting.pids), "a spare is made")
    (pid,) = waiting.pids
    await until(lambda: not waiting.pids and not psutil.pid_exists(pid), "the spare is gone")
    await until(lambda: given_back == [True], "memory is given back")
    await waiting.end()
    waiting.session_over()
    await asyncio.sleep(0)
    assert not waiting.pids


async def test_a_long_session_keeps_its_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a session runs the agent is not idle: the spare made after its start is still there at its end."""
    monkeypatch.setattr(spares, "LINGER", 0.5)
    monkeypatch.setattr(spares, "REFILL", 0.0)
    running, idle = Spares(), Spares()
    running.session_over()
    running.take()
    idle.session_over()  # after it: what is due for both is due for `running` first
    await until(lambda: bool(running.pids and idle.pids), "spares are made")
    made = running.pids
    await until(lambda: not idle.pids, "the idle agent's spare is gone")
    assert running.pids == made
    running.session_over()
    await until(lambda: not running.pids, "the spare is gone")
    await running.end()
    await idle.end()
