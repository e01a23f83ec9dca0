"""Build directories are a cache: bounded by disk, the longest unused goes first, one in use never.

One in which somebody has mounted something stays: what is mounted there is none of ours. One that cannot be removed for
another reason is said, once, and the next one is tried.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from worker_agent.agent.build_folders import SLOT
from worker_agent.agent.errands import Errands, Here

log = structlog.get_logger(__name__)


class BuildDirs:
    """`<basedir>/<master>/slot-<k>/<builddir>`; `make_room` may run in another thread."""

    def __init__(
        self,
        basedir: Path,
        *,
        keep_free: int,
        free: Callable[[str], int] | None = None,
        errands: Errands | None = None,
    ) -> None:
        """`keep_free`: bytes of disk below which unused build directories are removed; 0 keeps all.

        `errands`: makes, looks at and removes them.
        """
        self._errands = errands or Here()
        self._basedir = str(basedir)
        self._keep_free = keep_free
        self._free = free or (lambda path: int(self._errands.do("free", path)))
        self._in_use: dict[str, int] = {}
        self._lock = threading.Lock()
        #: what was said of directories that could not be removed
        self._told: dict[str, str] = {}
        #: slots' folders that could not be made when a build came
        self._missing: set[str] = set()

    def slot_folder(self, master: str, slot: int) -> str:
        """Where the builds of that slot for that master have their folders."""
        return os.path.join(self._basedir, master, f"{SLOT}{slot}")

    @property
    def apart(self) -> bool:
        """Another process works on them: `take` may wait for it."""
        return self._errands.apart

    def take(self, master: str, slot: int, builddir: str) -> str:
        """A session begins in it: make it and protect it. Raises OSError."""
        folder = self.slot_folder(master, slot)
        path = os.path.join(folder, builddir)
        with self._lock:
            self._in_use[path] = self._in_use.get(path, 0) + 1
        try:
            self._errands.do("make folder", folder)
        except OSError:
            self._missing.add(folder)
            raise
        self._errands.do("make", path)
        return path

    def give_back(self, master: str, slot: int, builddir: str) -> None:
        """The session is over: its folder may be removed when room is needed."""
        path = os.path.join(self.slot_folder(master, slot), builddir)
        with self._lock:
            left = self._in_use.get(path, 0) - 1
            if left > 0:
                self._in_use[path] = left
            else:
                self._in_use.pop(path, None)

    def trouble(self) -> tuple[str, ...]:
        """Why builds of some slot cannot run here, for people; what failed when one came is tried again."""
        reasons = []
        for folder in sorted(self._missing):
            try:
                self._errands.do("make folder", folder)
                self._missing.discard(folder)
            except OSError as error:
                reasons.append(f"folder {folder} for builds cannot be made: {error.strerror or error}")
        return tuple(reasons)

    def make_room(self) -> list[str]:
        """Remove unused ones, the longest unused first, until enough is free; returns what was removed.

        Raises OSError when the base directory cannot be looked at.
        """
        removed: list[str] = []
        if not self._keep_free:
            return removed
        for left_over in self._paths("left over"):  # by a process that ended meanwhile
            self._remove(left_over)
        for path in self._paths("unused first"):
            if self._free(self._basedir) >= self._keep_free:
                break
            if self._make_way(path):
                removed.append(path)
        return removed

    def _paths(self, job: str) -> list[str]:
        """Those that lie where they may; whoever looked for them is not believed."""
        found = [os.fspath(path) for path in self._errands.do(job, self._basedir)]
        below = os.path.join(self._basedir, "")
        return [path for path in found if path.startswith(below) and {"..", ""}.isdisjoint(path.split(os.sep)[1:])]

    def _make_way(self, path: str) -> bool:
        """Remove one; False: it is in use, or stays for a reason that was said."""
        try:
            mounted = self._errands.do("mounted in", path)
            if mounted is not None:
                self._complain(path, f"{mounted} is mounted in it")
                return False
            # Out of the way first: a session that takes it while it is being removed makes a fresh one.
            with self._lock:
                doomed = None if path in self._in_use else self._errands.do("move away", path)
        except OSError as error:
            self._complain(path, str(error.strerror or error))
            return False
        if doomed is None:
            return False
        log.info("build_directory_removed", path=path, reason="disk space is low and it is the oldest unused")
        self._remove(str(doomed))
        return True

    def _remove(self, folder: str) -> None:
        try:
            failed = self._errands.do("remove", folder)
        except OSError as error:
            failed = (str(error.strerror or error), 0)
        if failed is None:
            self._told.pop(folder, None)
        else:
            self._complain(folder, str(failed[0]), more=int(failed[1]))

    def _complain(self, path: str, reason: str, more: int = 0) -> None:
        """One line when the reason changes, none for each round."""
        if self._told.get(path) != reason:
            self._told[path] = reason
            log.warning("build_directory_not_removed", path=path, reason=reason, more_failures=more)
