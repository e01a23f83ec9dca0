"""A command's log files: files that grow while it runs, and are sent along."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import BinaryIO

#: Seconds between two looks at a file, as Buildbot's worker.
POLL = 2.0
_PIECE = 64 * 1024


class LogFile:
    """Follows one file from its first change after the command's start.

    Sends it whole, or with `follow` what was added since (from the size it had at the start; Buildbot's worker loses
    what is written between the start and its first look).
    """

    def __init__(self, name: str, path: str, follow: bool, send: Callable[[str, bytes], None]) -> None:
        self._name = name
        self._path = path
        self._follow = follow
        self._send = send
        self._before = self._look()
        self._file: BinaryIO | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.poll()
        self._timer = asyncio.get_running_loop().call_later(POLL, self.start)

    def stop(self) -> None:
        """Send the rest, and stop."""
        if self._timer is not None:
            self._timer.cancel()
        self.poll()
        if self._file is not None:
            self._file.close()

    def poll(self) -> None:
        try:
            if self._file is None and not self._open():
                return
            assert self._file is not None
            while data := self._file.read(_PIECE):
                self._send(self._name, data)
        except OSError:
            return  # not readable (yet): the next look may find it so, and the command has its own opinion of it

    def _open(self) -> bool:
        now = self._look()
        if now == self._before:
            return False
        if now is None:
            self._before = None  # deleted, to be made anew
            return False
        self._file = open(self._path, "rb")  # noqa: SIM115  # stays open until `stop`
        if self._follow and self._before is not None and now[2] >= self._before[2]:
            self._file.seek(self._before[2])
        return True

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ctime_ns, found.st_mtime_ns, found.st_size
