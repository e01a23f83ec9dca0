"""Build directories are a cache: bounded by disk, the longest unused goes first, one in use never."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

#: Touched when a session takes a build directory: its time is the time of last use.
MARK = ".last-used"


class BuildDirs:
    """`<basedir>/<master>/slot-<k>/<builddir>`; `make_room` may run in another thread."""

    def __init__(self, basedir: Path, *, keep_free: int, free: Callable[[Path], int] | None = None) -> None:
        """`keep_free`: bytes of disk below which unused build directories are removed; 0 keeps all."""
        self._basedir = basedir
        self._keep_free = keep_free
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._in_use: dict[Path, int] = {}
        self._lock = threading.Lock()

    def slot_folder(self, master: str, slot: int) -> Path:
        return self._basedir / master / f"slot-{slot}"

    def take(self, master: str, slot: int, builddir: str) -> Path:
        """A session begins in it: make it and protect it. Raises OSError."""
        path = self.slot_folder(master, slot) / builddir
        with self._lock:
            self._in_use[path] = self._in_use.get(path, 0) + 1
            path.mkdir(parents=True, exist_ok=True)
            _mark(path).touch()
        return path

    def give_back(self, master: str, slot: int, builddir: str) -> None:
        path = self.slot_folder(master, slot) / builddir
        with self._lock:
            left = self._in_use.get(path, 0) - 1
            if left > 0:
                self._in_use[path] = left
            else:
                self._in_use.pop(path, None)

    def make_room(self) -> list[Path]:
        """Remove unused ones, the longest unused first, until enough is free; returns what was removed."""
        removed: list[Path] = []
        if not self._keep_free or not self._basedir.is_dir():
            return removed
        for left_over in self._basedir.glob("*/slot-*/.removing-*"):  # by a process that ended meanwhile
            shutil.rmtree(left_over, onerror=_complain)
        for path in sorted(self._unused(), key=_last_used):
            if self._free(self._basedir) >= self._keep_free:
                break
            # Out of the way first: a session that takes it while it is being removed makes a fresh one.
            doomed = path.with_name(f".removing-{path.name}")
            with self._lock:
                if path in self._in_use or doomed.exists():
                    continue
                path.rename(doomed)
                _mark(path).unlink(missing_ok=True)
            log.info("build_directory_removed", path=str(path), reason="disk space is low and it is the oldest unused")
            shutil.rmtree(doomed, onerror=_complain)
            removed.append(path)
        return removed

    def _unused(self) -> Iterator[Path]:
        for path in self._basedir.glob("*/slot-*/*"):
            if path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and path not in self._in_use:
                yield path


def _mark(path: Path) -> Path:
    """Beside the directory, not in it: builds empty theirs."""
    return path.with_name(f".{path.name}{MARK}")


def _last_used(path: Path) -> float:
    try:
        return _mark(path).stat().st_mtime
    except OSError:
        return path.stat().st_mtime


def _complain(_function: object, path: str, error: object) -> None:
    log.warning("build_directory_not_removed", path=path, reason=str(error))
