"""What is done with build directories on the disk: `<basedir>/<master>/slot-<k>/<builddir>`, and what is beside them.

Functions of paths as text, so that another process can do them (`worker_agent.agent.errands`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import psutil

SLOT = "slot-"
#: Beside a slot's folder, with a file for each of its build directories, touched when a session takes that. Of the same
#: name: a builder's may be as long as a file's name may be, begin with a dot, or end with whatever we would add.
MARKS = "last-used-"
#: Beside it, too: what is being removed.
REMOVING = "removing-"


def make_folder(folder: str) -> None:
    """Raises OSError."""
    Path(folder).mkdir(parents=True, exist_ok=True)


def make(path: str) -> None:
    """A build directory for a session that takes it now. Its slot's folder is there. Raises OSError."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    mark = beside(folder, MARKS)
    with contextlib.suppress(OSError):  # then its own time counts: no build is ended for that
        mark.parent.mkdir(exist_ok=True)
        mark.touch()


def by_last_use(basedir: str) -> list[str]:
    """All build directories, the longest unused first. Raises OSError when they cannot be looked at."""
    found = [path for path in Path(basedir).glob(f"*/{SLOT}*/*") if path.is_dir() and not path.is_symlink()]
    return [str(path) for path in sorted(found, key=_last_used)]


def left_over(basedir: str) -> list[str]:
    """What a process that ended meanwhile was removing."""
    return [str(path) for path in Path(basedir).glob(f"*/{REMOVING}*/*")]


def move_away(path: str) -> str | None:
    """Where what was build directory `path` is to be removed; None: something of its name is being removed already.

    Raises OSError.
    """
    folder = Path(path)
    doomed = beside(folder, REMOVING)
    if doomed.exists():
        return None
    doomed.parent.mkdir(exist_ok=True)
    folder.rename(doomed)
    beside(folder, MARKS).unlink(missing_ok=True)
    return str(doomed)


def remove(path: str) -> tuple[str, int] | None:
    """None: it is gone. Else the first reason, and how many more there are."""
    mounted = mounted_in(path)
    if mounted is not None:
        return f"{mounted} is mounted in it", 0
    failures: list[str] = []
    shutil.rmtree(path, onerror=lambda _function, path, error: failures.append(f"{path}: {error[1]}"))
    return (failures[0], len(failures) - 1) if failures else None


def mounted_in(folder: str) -> str | None:
    """A mount point that is `folder` or lies in it."""
    real = os.path.realpath(folder)
    for mount in psutil.disk_partitions(all=True):
        if mount.mountpoint == real or mount.mountpoint.startswith(real + os.sep):
            return mount.mountpoint
    return None


def beside(path: Path, kind: str) -> Path:
    """What belongs to build directory `path`. Not in it: builds empty theirs."""
    slot = path.parent
    return slot.with_name(slot.name.replace(SLOT, kind, 1)) / path.name


def _last_used(path: Path) -> float:
    for file in (beside(path, MARKS), path):
        try:
            return file.stat().st_mtime
        except OSError:
            continue
    return 0.0
