"""What is done with build directories on the disk: `<basedir>/<master>/slot-<k>/<builddir>`, and what is beside them.

Functions of paths as text, so that another process can do them (`worker_agent.agent.errands`), and by `os.path`: a
`Path` has Python intern each name in it, and an agent comes by many.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator

import psutil

from worker_agent.keeper.files import remove_file

SLOT = "slot-"
#: Beside a slot's folder, with a file for each of its build directories, touched when a session takes that. Of the same
#: name: a builder's may be as long as a file's name may be, begin with a dot, or end with whatever we would add.
MARKS = "last-used-"
#: Beside it, too: what is being removed.
REMOVING = "removing-"
#: What is said of a path at which there is no folder that we may look into: a link may lead to itself.
_NO_FOLDER = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM}


def make_folder(folder: str) -> None:
    """Raises OSError."""
    os.makedirs(folder, exist_ok=True)


def make(path: str) -> None:
    """A build directory for a session that takes it now. Its slot's folder is there. Raises OSError."""
    os.makedirs(path, exist_ok=True)
    mark = beside(path, MARKS)
    with contextlib.suppress(OSError):  # then its own time counts: no build is ended for that
        os.makedirs(os.path.dirname(mark), exist_ok=True)
        _touch(mark)


def by_last_use(basedir: str) -> list[str]:
    """All build directories, the longest unused first. Raises OSError when they cannot be looked at."""
    return sorted((path for path in _all_in(basedir, SLOT) if _is_folder(path)), key=_last_used)


def left_over(basedir: str) -> list[str]:
    """What a process that ended meanwhile was removing."""
    return list(_all_in(basedir, REMOVING))


def move_away(path: str) -> str | None:
    """Where what was build directory `path` is to be removed; None: something of its name is being removed already.

    Raises OSError.
    """
    doomed = beside(path, REMOVING)
    if os.path.exists(doomed):
        return None
    os.makedirs(os.path.dirname(doomed), exist_ok=True)
    os.rename(path, doomed)
    remove_file(beside(path, MARKS))
    return doomed


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


def beside(path: str, kind: str) -> str:
    """What belongs to build directory `path`. Not in it: builds empty theirs."""
    slot, name = os.path.split(path)
    folder, slot_name = os.path.split(slot)
    return os.path.join(folder, slot_name.replace(SLOT, kind, 1), name)


def _last_used(path: str) -> float:
    for file in (beside(path, MARKS), path):
        try:
            return os.stat(file).st_mtime
        except OSError:
            continue
    return 0.0


def _touch(file: str) -> None:
    try:
        os.utime(file)  # not opened where it is there: a build may have put a pipe in its place
    except FileNotFoundError:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def _is_folder(path: str) -> bool:
    """And no link to one. Raises OSError of a disk that fails."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _all_in(basedir: str, kind: str) -> Iterator[str]:
    """What is in the slots' folders of that kind, of all masters. Raises OSError of a disk that fails."""
    for master in _in(basedir):
        for slot in _in(master):
            if os.path.basename(slot).startswith(kind):
                yield from _in(slot)


def _in(folder: str) -> list[str]:
    """Empty where there is no such folder, or none that we may look into."""
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        return []
