"""The commands of a session and all their processes, in this process and with its user's rights."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Mapping
from typing import Any

import psutil

from worker_agent.keeper.commands.command import RemoteCommand
from worker_agent.keeper.commands.registry import make
from worker_agent.keeper.file_thread import FileThread, Interrupted
from worker_agent.keeper.health import HealthAtStart
from worker_agent.keeper.host import MachineFailure, disk_full
from worker_agent.keeper.journal.room import Room
from worker_agent.keeper.limits import FAILURE_MAX
from worker_agent.keeper.processes.belonging import LEAVE, MARK
from worker_agent.keeper.processes.guard import Guard
from worker_agent.keeper.processes.launch import Children
from worker_agent.keeper.processes.reaper import ROUND_PAUSE, descendants, left_below, own_children, rounds
from worker_agent.keeper.report import CommandReport
from worker_agent.keeper.runner import Listener
from worker_agent.keeper.settings import KeeperConfig

#: Seconds in which a process that a shell has just started in the background gets the environment that is its own.
_EXEC = 0.05
#: Seconds for which the end of a command waits for disks to say how full they are.
_DISK_PATIENCE = 5.0


class Commands:
    """A `runner.Runner`, and the `host.Host` of its commands."""

    def __init__(self, config: KeeperConfig, environ: Mapping[str, str], guard: Guard, listener: Listener) -> None:
        self.session = config.session
        self.builder = config.builder
        self.basedir = config.basedir
        self.encoding = config.settings.encoding
        self.environ = environ
        self.children = Children(guard)
        self.room = Room()
        self.upload_room = Room()
        self.attachments = 0
        self.empty = False
        self._listener = listener
        self._running: dict[int, RemoteCommand | None] = {}
        self._interrupted: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        #: processes that go on after the session, and of which that was told
        self._left: list[psutil.Process] = []
        self._data: dict[int, asyncio.Queue[tuple[int, int, bytes]]] = {}

    # What the session asks for: runner.Runner

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str, *, unwanted: bool) -> None:
        self._running[n] = None
        if unwanted:
            self._interrupted.add(n)
        task = asyncio.ensure_future(self._execute(n, name, args, digest))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def interrupt(self, n: int) -> None:
        if n in self._running:
            self._interrupted.add(n)
            command = self._running[n]
            if command is not None:
                command.interrupt()

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        if n in self._running:
            self._queue(n).put_nowait((offset, size, data))

    def set_room(self, output: bool, uploads: bool) -> None:
        self.room.set(output)
        self.upload_room.set(uploads)

    def attached(self) -> None:
        self.attachments += 1

    async def kill_all(self) -> None:
        for left in rounds(self._everything):
            self.children.reap()
            if left:
                await asyncio.sleep(ROUND_PAUSE)

    async def end(self) -> list[str]:
        ended = [] if self._running else [_name(process) for process in self._everything()]
        self.set_room(True, True)
        for command in self._running.values():
            if command is not None:
                command.interrupted = True
                command.stop.set()
        await self.kill_all()
        for task in list(self._tasks):
            task.cancel()
        self.empty = self._without_children()
        return ended

    # What commands use: host.Host

    def alone(self, mark: str) -> bool:
        return [f"{self.session}/{n}" for n in self._running] == [mark]

    def pull(self, n: int, offset: int, length: int) -> None:
        self._listener.pull(n, offset, length)

    def fed(self, n: int) -> Awaitable[tuple[int, int, bytes]]:
        return self._queue(n).get()

    async def _execute(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None:
        report = CommandReport(n, self._listener.append)
        began = time.time()
        health = HealthAtStart((self.builder, self.basedir, "/tmp"))  # noqa: S108  # looked at, not written to
        failure: str | None = None
        infrastructure: str | None = None
        command: RemoteCommand | None = None
        try:
            command = make(name, self, report, args, digest)
        except Exception as error:
            failure = _words(error)
        if command is not None:
            self._running[n] = command
            if n in self._interrupted:
                command.interrupted = True
            else:
                try:
                    await command.run()
                except Interrupted:
                    pass  # it was in the middle of a call that may never come back
                except MachineFailure as error:
                    failure = infrastructure = str(error)
                except Exception as error:
                    failure = _words(error)
                    infrastructure = disk_full(error)
            command.files.close()
            await self._tell_left(report)
            command.status("elapsed", time.time() - began)
        report.flush()
        if infrastructure is None and n not in self._interrupted:
            infrastructure = await _verdict(health, report)
        if failure is not None and len(failure) > FAILURE_MAX:
            failure = f"{failure[:FAILURE_MAX]} … ({len(failure)} characters)"
        self._running.pop(n)
        self._interrupted.discard(n)
        self._data.pop(n, None)
        self._listener.completed(n, failure, infrastructure)

    async def _tell_left(self, report: CommandReport) -> None:
        """What goes on after the build, since that was asked for, is in the log of the command that started it."""
        try:
            found = await self._left_behind()
        except OSError as error:  # no descriptor is free to look with: a line in a log is not worth a session
            report.header(f"what it left running cannot be told: {error.strerror}\n")
            return
        for process in found:
            if process not in self._left:
                self._left.append(process)
                report.header(f"left running after this build, as was asked for ({MARK}={LEAVE}): {_name(process)}\n")

    async def _left_behind(self) -> list[psutil.Process]:
        guard = self.children.guard.pid
        children = [pid for pid in own_children() if pid != guard and not self.children.watched(pid)]
        if children:
            await asyncio.sleep(_EXEC)
        return left_below(children)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._listener.broken(f"the keeper failed: {_words(task.exception())}")

    def _everything(self) -> list[psutil.Process]:
        if self._without_children():
            return []
        guard = self.children.guard.pid
        return [process for process in descendants(psutil.Process()) if process.pid != guard]

    def _without_children(self) -> bool:
        """Quickly: nothing but the guard descends from this process, which is a subreaper. Elsewhere: nobody knows.

        The system's list of a process's own children is complete here, for none of them is collected meanwhile.
        """
        self.children.reap()
        return sys.platform.startswith("linux") and set(own_children()) <= {self.children.guard.pid}

    def _queue(self, n: int) -> asyncio.Queue[tuple[int, int, bytes]]:
        return self._data.setdefault(n, asyncio.Queue())


async def _verdict(health: HealthAtStart, report: CommandReport) -> str | None:
    """Did the machine make the command fail? Asked of its disks, too, which may not answer."""
    if report.outcome == 0:
        return None
    files = FileThread()
    try:
        return await asyncio.wait_for(files.call(health.verdict, report.outcome, killed=report.killed), _DISK_PATIENCE)
    except asyncio.TimeoutError:
        return None
    finally:
        files.close()


def _name(process: psutil.Process) -> str:
    """Without its arguments, which may hold secrets."""
    try:
        return f"{process.name()} (process {process.pid})"
    except psutil.Error:
        return f"process {process.pid}"


def _words(error: BaseException | None) -> str:
    """A failure as text, as a traceback's last line gives it."""
    return f"{type(error).__name__}: {error}"
