"""Build directories are a cache: bounded by disk, the longest unused goes first, one in use never.

One in which somebody has mounted something stays: what is mounted there is none of ours. One that cannot be removed for
another reason is said, once, and the next one is tried.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import structlog

log = structlog.get_logger(__name__)

_SLOT = "slot-"
#: Beside a slot's folder, with a file for each of its build directories, touched when a session takes that. Of the same
#: name: a builder's may be as long as a file's name may be, begin with a dot, or end with whatever we would add.
MARKS = "last-used-"
#: Beside it, too: what is being removed.
REMOVING = "removing-"


class BuildDirs:
    """`<basedir>/<master>/slot-<k>/<builddir>`; `make_room` may run in another thread."""

    def __init__(self, basedir: Path, *, keep_free: int, free: Callable[[Path], int] | None = None) -> None:
        """`keep_free`: bytes of disk below which unused build directories are removed; 0 keeps all."""
        self._basedir = basedir
        self._keep_free = keep_free
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._in_use: dict[Path, int] = {}
        self._lock = threading.Lock()
        #: what was said of directories that could not be removed
        self._told: dict[Path, str] = {}
        #: slots' folders that could not be made when a build came
        self._missing: set[Path] = set()

    def slot_folder(self, master: str, slot: int) -> Path:
        return self._basedir / master / f"{_SLOT}{slot}"

    def take(self, master: str, slot: int, builddir: str) -> Path:
        """A session begins in it: make it and protect it. Raises OSError."""
        folder = self.slot_folder(master, slot)
        path = folder / builddir
        with self._lock:
            self._in_use[path] = self._in_use.get(path, 0) + 1
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                self._missing.add(folder)
                raise
            path.mkdir(parents=True, exist_ok=True)
            mark = _beside(path, MARKS)
            with contextlib.suppress(OSError):  # then its own time counts: no build is ended for that
                mark.parent.mkdir(exist_ok=True)
                mark.touch()
        return path

    def give_back(self, master: str, slot: int, builddir: str) -> None:
        path = self.slot_folder(master, slot) / builddir
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
                folder.mkdir(parents=True, exist_ok=True)
                self._missing.discard(folder)
            except OSError as error:
                reasons.append(f"folder {folder} for builds cannot be made: {error.strerror}")
        return tuple(reasons)

    def make_room(self) -> list[Path]:
        """Remove unused ones, the longest unused first, until enough is free; returns what was removed.

        Raises OSError when the base directory cannot be looked at.
        """
        removed: list[Path] = []
        if not self._keep_free or not self._basedir.is_dir():
            return removed
        for left_over in self._basedir.glob(f"*/{REMOVING}*/*"):  # by a process that ended meanwhile
            self._remove(left_over)
        for path in sorted(self._unused(), key=_last_used):
            if self._free(self._basedir) >= self._keep_free:
                break
            if self._make_way(path):
                removed.append(path)
        return removed

    def _make_way(self, path: Path) -> bool:
        """Remove one; False: it is in use, or stays for a reason that was said."""
        # Out of the way first: a session that takes it while it is being removed makes a fresh one.
        doomed = _beside(path, REMOVING)
        mounted = _mounted_in(path)
        if mounted is not None:
            self._complain(path, f"{mounted} is mounted in it")
            return False
        try:
            with self._lock:
                if path in self._in_use or doomed.exists():
                    return False
                doomed.parent.mkdir(exist_ok=True)
                path.rename(doomed)
                _beside(path, MARKS).unlink(missing_ok=True)
        except OSError as error:
            self._complain(path, str(error.strerror))
            return False
        log.info("build_directory_removed", path=str(path), reason="disk space is low and it is the oldest unused")
        self._remove(doomed)
        return True

    def _remove(self, folder: Path) -> None:
        failures: list[str] = []
        mounted = _mounted_in(folder)
        if mounted is not None:
            failures.append(f"{mounted} is mounted in it")
        else:
            shutil.rmtree(folder, onerror=lambda _function, path, error: failures.append(f"{path}: {error[1]}"))
        if failures:
            self._complain(folder, failures[0], more=len(failures) - 1)
        else:
            self._told.pop(folder, None)

    def _complain(self, path: Path, reason: str, more: int = 0) -> None:
        """One line when the reason changes, none for each round."""
        if self._told.get(path) != reason:
            self._told[path] = reason
            log.warning("build_directory_not_removed", path=str(path), reason=reason, more_failures=more)

    def _unused(self) -> Iterator[Path]:
        for path in self._basedir.glob(f"*/{_SLOT}*/*"):
            if path.is_dir() and not path.is_symlink() and path not in self._in_use:
                yield path


def _beside(path: Path, kind: str) -> Path:
    """What belongs to build directory `path`. Not in it: builds empty theirs."""
    slot = path.parent
    return slot.with_name(slot.name.replace(_SLOT, kind, 1)) / path.name


def _last_used(path: Path) -> float:
    for file in (_beside(path, MARKS), path):
        try:
            return file.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _mounted_in(folder: Path) -> str | None:
    """A mount point that is `folder` or lies in it."""
    real = os.path.realpath(folder)
    for mount in psutil.disk_partitions(all=True):
        if mount.mountpoint == real or mount.mountpoint.startswith(real + os.sep):
            return mount.mountpoint
    return None
