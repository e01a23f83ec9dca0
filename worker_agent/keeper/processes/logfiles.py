"""A command's log files: files that grow while it runs, and are sent along.

What has such a name need not be a file, nor lie on a disk that answers: all calls are a thread's (`FileThread`), and
nothing is opened or read so that it waits for somebody else (`O_NONBLOCK`: FIFOs, terminals, devices).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from typing import TypeVar

from worker_agent.keeper.file_thread import FileThread, Interrupted
from worker_agent.keeper.journal.room import Room

T = TypeVar("T")
#: Seconds between two looks at a file, as Buildbot's worker.
POLL = 2.0
_PIECE = 64 * 1024
#: Seconds for which a command's start and its end wait for a disk that does not answer.
_PATIENCE = 5.0
#: Bytes that are still sent of a file when its command is killed: who stops a build waits for its end.
_REST_MAX = 4 * 1024 * 1024


class LogFile:
    """Follows one file from its first change after `begin`; sends while there is room.

    Sends it whole, or with `follow` what was added since (from the size it had at the start; Buildbot's worker loses
    what is written between the start and its first look).
    """

    def __init__(self, name: str, path: str, follow: bool, send: Callable[[str, bytes], None]) -> None:
        self._name = name
        self._path = path
        self._follow = follow
        self._send = send
        self._files = FileThread()
        self._before: tuple[int, int, int] | None = None
        self._fd = -1
        self._over = asyncio.Event()
        self._hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: calls so far, and whether the last one has not come back
        self._calls = 0
        self._calling = False

    async def begin(self) -> None:
        """Note how the file is before the command starts."""
        with contextlib.suppress(asyncio.TimeoutError):  # it is noted as soon as the disk answers, before all else
            await asyncio.wait_for(self._files.call(self._note), _PATIENCE)

    def start(self, room: Room) -> None:
        self._task = asyncio.ensure_future(self._run(room))

    def hurry(self) -> None:
        """The command is killed: neither room nor the rest of a large file is waited for."""
        self._hurried.set()

    async def stop(self) -> None:
        """Send the rest, and stop."""
        self._over.set()
        while self._task is not None and not self._task.done():
            calls = self._calls
            await asyncio.wait({self._task}, timeout=_PATIENCE)
            if self._calling and self._calls == calls:
                self._files.interrupt()
        self.close()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._files.close(self._close)

    async def _run(self, room: Room) -> None:
        with contextlib.suppress(Interrupted):
            while not self._over.is_set():
                await self._send_up_to(room, None)
                await self._call(self._reopen)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._over.wait(), POLL)
            await self._send_up_to(room, await self._call(self._rest))
            if await self._call(self._reopen):
                await self._send_up_to(room, await self._call(self._rest))

    async def _send_up_to(self, room: Room, left: int | None) -> None:
        """What there is now, `left` bytes at most; None: until the command is over."""
        while left or (left is None and not self._over.is_set()):
            if left is not None and self._hurried.is_set():
                left = min(left, _REST_MAX)
            data = await self._call(self._read)
            if not data:
                return
            self._send(self._name, data if left is None else data[:left])
            if left is not None:
                left = max(0, left - len(data))
            await room.wait_unless(self._hurried)

    async def _call(self, function: Callable[[], T]) -> T:
        self._calls += 1
        self._calling = True
        try:
            return await self._files.call(function)
        finally:
            self._calling = False

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _note(self) -> None:
        found = self._look()
        if found is not None and not stat.S_ISFIFO(os.stat(self._path).st_mode):
            self._before = found  # a FIFO is opened at once: who writes into it waits for that

    def _read(self) -> bytes:
        """The next bytes; none if there are none (yet)."""
        try:
            return os.read(self._fd, _PIECE) if self._fd >= 0 or self._open() else b""
        except OSError:
            return b""  # not readable (yet): the next look may find it so, and the command has its own opinion of it

    def _rest(self) -> int:
        """Bytes that a file has still got when its command is over. What is no file may never come to an end: one
        piece, which is what a FIFO holds."""
        try:
            if self._fd < 0 and not self._open():
                return 0
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                return _PIECE
            return found.st_size - os.lseek(self._fd, 0, os.SEEK_CUR)
        except OSError:
            return 0

    def _open(self) -> bool:
        now = self._look()
        if now == self._before:
            return False
        if now is None:
            self._before = None  # deleted, to be made anew
            return False
        self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # until `close`
        if self._follow and self._before is not None and now[2] >= self._before[2]:
            os.lseek(self._fd, self._before[2], os.SEEK_SET)
        return True

    def _reopen(self) -> bool:
        """Is another file there now than the one that was opened? Then that one is, from its beginning: a file that was
        written anew under its name, or in the place of a FIFO that an earlier command left behind."""
        try:
            now, opened = os.stat(self._path), os.fstat(self._fd)
        except OSError:  # none is opened, or none is there
            return False
        if (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino):
            return False
        self._close()
        self._before = None
        return self._open()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ctime_ns, found.st_mtime_ns, found.st_size

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
