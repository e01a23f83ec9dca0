"""New files beside those that they will replace. What killed processes left of theirs goes when the next one comes."""

from __future__ import annotations

import contextlib
import os
import re

#: Nothing of the target's own name, nor its folder's, is in it: either may be as long as names may be.
_NAME = re.compile(r"\.downloading-[0-9a-f]{16}\.part")


def make(folder: int) -> tuple[int, str]:
    """A new file in an open folder, open for writing, and its name. Whoever has it open has it locked (flock(2)).

    Before that what nobody has open any more is removed there. Raises OSError.
    """
    _remove_left(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        name = f".downloading-{os.urandom(8).hex()}.part"
        file = os.open(name, flags, 0o666, dir_fd=folder)
        with contextlib.suppress(OSError):  # a file system without locks: there nothing is taken for left
            _lock(file)
        if os.fstat(file).st_nlink:
            return file, name
        os.close(file)  # somebody has taken it for left before it was locked


def _remove_left(folder: int) -> None:
    with contextlib.suppress(OSError):  # a folder that may be written to, but not read
        for name in os.listdir(folder):
            if _NAME.fullmatch(name):
                _remove_if_left(name, folder)


def _remove_if_left(name: str, folder: int) -> None:
    with contextlib.suppress(OSError):  # it is written to, was renamed meanwhile, or is none of ours
        file = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            _lock(file)
            os.unlink(name, dir_fd=folder)
        finally:
            os.close(file)


def _lock(file: int) -> None:
    """Raises OSError: somebody else has, or there are no locks."""
    import fcntl  # a keeper that downloads nothing does without

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
