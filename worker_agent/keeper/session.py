"""A session inside its keeper: journals, runs commands, and ends everything at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from worker_agent.keeper.command import Command
from worker_agent.keeper.file_thread import FileThread, Interrupted
from worker_agent.keeper.guard import Guard
from worker_agent.keeper.health import Health
from worker_agent.keeper.host import MachineFailure, disk_full
from worker_agent.keeper.journal import Journal, JournalFull
from worker_agent.keeper.launch import Children
from worker_agent.keeper.limits import FAILURE_MAX, UPLOAD_AHEAD
from worker_agent.keeper.reaper import LEAVE, MARK, ROUND_PAUSE, descendants, left_below, own_children, rounds
from worker_agent.keeper.registry import make
from worker_agent.keeper.report import Report
from worker_agent.keeper.room import Room
from worker_agent.keeper.settings import KeeperConfig

#: Reading of pipes goes on when the unstored bytes have fallen below this part of the bound.
_RESUME_AT = 0.75
#: Seconds in which a process that a shell has just started in the background gets the environment that is its own.
_EXEC = 0.05
#: Seconds for which the end of a command waits for disks to say how full they are.
_DISK_PATIENCE = 5.0


class Session:
    """Implements `host.Host` for its commands.

    `journalled` is called with the last sequence number when there is news, `pulled` with (n, offset, length) when a
    download wants bytes, `broken` with the reason when not even a failure can be journalled any more.
    """

    def __init__(
        self,
        config: KeeperConfig,
        environ: Mapping[str, str],
        guard: Guard,
        *,
        journalled: Callable[[int], None],
        pulled: Callable[[int, int, int], None],
        broken: Callable[[str], None],
    ) -> None:
        settings = config.settings
        self.session = config.session
        self.builder = config.builder
        self.basedir = config.basedir
        self.encoding = settings.encoding
        self.environ = environ
        self.children = Children(guard)
        self.room = Room()
        self.upload_room = Room()
        self.attachments = 0
        self._settings = settings
        self._journal = Journal(Path(config.folder), spool_max=settings.spool_max, journal_max=settings.journal_max)
        self._journalled = journalled
        self._pulled = pulled
        self._broken = broken
        #: the disk took no more of the journal
        self._full = False
        self._over = False
        self._known: set[int] = set()
        self._running: dict[int, Command | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._reasons: dict[int, str] = {}
        self._condemned: dict[int, str] = {}
        #: processes that go on after the session, and of which that was told
        self._left: list[psutil.Process] = []
        self._data: dict[int, asyncio.Queue[tuple[int, int, bytes]]] = {}

    @property
    def seq(self) -> int:
        return self._journal.seq

    @property
    def running(self) -> list[int]:
        return sorted(self._running)

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None:
        """Start command `n`. One that is known already is not run again."""
        if n in self._known:
            return
        self._known.add(n)
        self._running[n] = None
        if self._full and self._journal.set_reserve():
            self._full = False  # somebody made room
        self.append(n, "started", {"name": name, "digest": digest})
        if self._full:
            self.condemn("disk full: no room for the journal")
        self._spawn(self._execute(n, name, args, digest))

    def complete_unstarted(self, n: int, name: str, digest: str, reason: str) -> None:
        """The interrupt came first (rule 14): journal that, run nothing."""
        if n in self._known:
            return
        self._known.add(n)
        self.append(n, "started", {"name": name, "digest": digest})
        self.append(n, "completed", None, interrupted=reason)

    def fail(self, n: int, reason: str) -> None:
        """Command `n` cannot be run, and completes with `reason`. Not for one that runs or is over."""
        if self._running.get(n) is not None or (n in self._known and n not in self._running):
            return
        if n not in self._known:
            self._known.add(n)
            self.append(n, "started", {"name": "", "digest": ""})
        self._running.pop(n, None)
        self.append(n, "completed", reason, infrastructure=reason)

    def interrupt(self, n: int, reason: str) -> None:
        if n in self._running:
            self._reasons.setdefault(n, reason)
            command = self._running[n]
            if command is not None:
                command.interrupt()

    def condemn(self, reason: str) -> None:
        """The machine cannot let them run: interrupt all commands, and say why in `infrastructure`."""
        for n, command in list(self._running.items()):
            self._condemned.setdefault(n, reason)
            if command is not None:
                command.interrupt()

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        if n in self._running:
            self._queue(n).put_nowait((offset, size, data))

    def trim(self, seq: int) -> None:
        self._journal.trim(seq)
        self._mind_room()

    async def end(self) -> list[str]:
        """Kill every process of the session, those that commands left behind, too; return when none is left.

        Returns what commands that are over had left running.
        """
        ended = [] if self._running else [_name(process) for process in self._everything()]
        self.room.set(True)
        self.upload_room.set(True)
        for command in self._running.values():
            if command is not None:
                command.interrupted = True
                command.stop.set()
        for left in rounds(self._everything):
            self.children.reap()
            if left:
                await asyncio.sleep(ROUND_PAUSE)
        for task in list(self._tasks):
            task.cancel()
        self._over = True
        self._journal.close()
        return ended

    async def kill_all(self, reason: str) -> None:
        """Kill every process, go on journalling: running commands complete with `reason` as `infrastructure`."""
        self.condemn(reason)
        for left in rounds(self._everything):
            self.children.reap()
            if left:
                await asyncio.sleep(ROUND_PAUSE)

    # What commands use: host.Host

    def alone(self, mark: str) -> bool:
        return [f"{self.session}/{n}" for n in self._running] == [mark]

    def pull(self, n: int, offset: int, length: int) -> None:
        self._pulled(n, offset, length)

    def fed(self, n: int) -> Awaitable[tuple[int, int, bytes]]:
        return self._queue(n).get()

    def append(
        self,
        n: int,
        kind: str,
        value: Any = None,
        data: bytes = b"",
        *,
        interrupted: str | None = None,
        infrastructure: str | None = None,
    ) -> None:
        """Journal one event and say so. On a full disk only that a command ran, and how it ended, still gets in."""
        if self._over:
            return
        lasting = kind in ("started", "completed")
        if n in self._condemned and self._full and not lasting:
            return
        try:
            seq = self._journal.append(n, kind, value, data, interrupted=interrupted, infrastructure=infrastructure)
        except JournalFull as error:
            self._full = True
            self._journal.free_reserve()
            self.condemn(f"disk full: {error.strerror}")
            if not lasting:
                return
            try:
                seq = self._journal.append(n, kind, value, interrupted=interrupted, infrastructure=infrastructure)
            except JournalFull:
                self._broken(f"disk full: {error.strerror}")
                return
        self._mind_room()
        self._journalled(seq)

    async def _execute(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None:
        report = Report(n, self.append)
        began = time.time()
        health = Health((self.builder, self.basedir, "/tmp"))  # noqa: S108  # looked at, not written to
        failure: str | None = None
        infrastructure: str | None = None
        command: Command | None = None
        try:
            command = make(name, self, report, args, digest)
        except Exception as error:
            failure = _words(error)
        if command is not None:
            self._running[n] = command
            if n in self._reasons or n in self._condemned:
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
        if infrastructure is None:
            infrastructure = self._condemned.get(n)
        if infrastructure is None and n not in self._reasons:
            infrastructure = await _verdict(health, report)
        if failure is not None and len(failure) > FAILURE_MAX:
            failure = f"{failure[:FAILURE_MAX]} … ({len(failure)} characters)"
        self._running.pop(n)
        self._data.pop(n, None)
        self.append(n, "completed", failure, interrupted=self._reasons.get(n), infrastructure=infrastructure)

    async def _tell_left(self, report: Report) -> None:
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

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken(f"the keeper failed: {_words(task.exception())}")

    def _everything(self) -> list[psutil.Process]:
        guard = self.children.guard.pid
        return [process for process in descendants(psutil.Process().pid) if process.pid != guard]

    def _queue(self, n: int) -> asyncio.Queue[tuple[int, int, bytes]]:
        return self._data.setdefault(n, asyncio.Queue())

    def _mind_room(self) -> None:
        unstored, spool_max = self._journal.unstored, self._settings.spool_max
        for room, bound, full in (
            (self.room, spool_max, self._journal.crowded),
            (self.upload_room, min(UPLOAD_AHEAD, spool_max), unstored > min(UPLOAD_AHEAD, spool_max)),
        ):
            if full:
                room.set(False)
            elif not room.free and unstored <= bound * _RESUME_AT:
                room.set(True)


async def _verdict(health: Health, report: Report) -> str | None:
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
