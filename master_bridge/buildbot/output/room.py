"""Room on the master's own disk: looked at before output is stored, so that Buildbot can still note how a build ends.

A write that fails in the middle of Buildbot's bookkeeping leaves a build that never ends. So some room is kept for it:
below `RESERVE` output waits and no build starts, and builds are given up (RETRY) only where their end can be noted.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger(__name__)

MEBIBYTE = 1024 * 1024
#: Free bytes below which no output is stored and no build is started.
RESERVE = 64 * MEBIBYTE
#: Free bytes below which not even a build's end is written: a log that is compressed meanwhile may take as much.
LEAST = RESERVE // 4
#: A disk that was full wants this much more before it is well again, so that it does not flutter.
RECOVERY = 1.25
#: Seconds between two looks while there is too little.
LOOK_EVERY = 1.0
#: Seconds for which a look serves who asks often: what a full disk's reserve takes in that time by far.
LATELY = 0.1
#: How SQLite, PostgreSQL and MySQL say it, in lower case.
_FULL = ("disk is full", "no space left on device", "the table is full", "disk full")


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """`text` is for people; `writable`: there is enough for Buildbot to note how a build ends."""

    text: str
    writable: bool


class Room:
    """`master` gives Buildbot's master once it is known; `free` the free bytes of its folder's file system."""

    def __init__(self, master: Callable[[], Any], free: Callable[[str], int] | None = None) -> None:
        self._master = master
        self._free = free or _free
        self._short = False
        #: what was said last
        self._told = False
        #: what `lately_short` answers, and since when
        self._seen, self._seen_at = False, -LATELY
        #: somebody heard of a shortage there; nobody asks again by himself
        self._refused = False

    def shortage(self) -> Shortage | None:
        """What is missing; None: all is well. Takes some microseconds, so it may be asked for each piece of a log."""
        folder = self._master().basedir
        try:
            free = self._free(folder)
        except OSError as error:  # a folder that is gone has worse to tell than this; Buildbot will
            log.debug("amqp.free_space_unknown", folder=folder, reason=str(error))
            return None
        self._short = free < (RESERVE * RECOVERY if self._short else RESERVE)
        if not self._short:
            return None
        return Shortage(
            text=f"master: disk full: {free // MEBIBYTE} MiB left on the file system of {folder}",
            writable=free >= LEAST,
        )

    def lately_short(self) -> bool:
        """The same for who asks for each place of a column, tens of thousands of times while a master starts: what was
        seen up to `LATELY` seconds ago."""
        if time.monotonic() - self._seen_at > LATELY:
            self._note(self.shortage())
        self._refused = self._refused or self._seen
        return self._seen

    def _note(self, shortage: Shortage | None) -> None:
        self._seen, self._seen_at = shortage is not None, time.monotonic()

    def look(self) -> None:
        """To be called now and then: says so when it changes, and starts what waited when there is room again."""
        now = self.shortage()
        self._note(now)
        if now is not None and not self._told:
            log.error("amqp.master_disk_full", reason=now.text, remedy="make room: logs wait and no build starts")
        elif now is None and (self._told or self._refused):
            log.info("amqp.master_disk_ok")
            self._refused = False
            self._master().botmaster.maybeStartBuildsForAllBuilders()
        self._told = now is not None


def is_disk_full(problem: BaseException) -> bool:
    """Did storing fail for want of room, here or on the database's machine?"""
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    text = str(problem).lower()
    return any(words in text for words in _FULL)


def _free(folder: str) -> int:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize
