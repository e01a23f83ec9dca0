"""Standard output and error of a program that must go on when nobody takes what it says. Standard library only.

A log line may fail to be written in many ways: its reader has gone (`2>&1 | head`), reads no more, or the disk is full;
standard error was closed before the program began (`2>&-`). The line is dropped then, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from typing import TextIO

#: POSIX: a pipe that can be written to takes this much at once without waiting.
_PIECE = select.PIPE_BUF
_STANDARD_ERROR = 2


class LossyOutput(io.RawIOBase):
    """Writes to descriptor `fd`, which stays open at its end. Neither raises nor waits for a reader."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        #: the last line was written in part
        self._torn = False
        #: one line at a time: a thread that writes between another's look and its write could make that one wait for a
        #: reader; and one `poll` object serves one thread. Again by its own thread: whatever ends meanwhile may warn
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """The descriptor that is written to."""
        return self._fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        """Does a person look at it?"""
        return os.isatty(self._fd)

    def write(self, data: object) -> int:
        """All of `data` (bytes), or what is taken at once of it; the caller cannot tell and need not."""
        line = bytes(data)  # type: ignore[call-overload]  # the base class has any buffer
        with self._lock:
            left = b"\n" + line if self._torn else line
            with contextlib.suppress(OSError):  # whom could it be told?
                while left and self._poll.poll(0):
                    left = left[os.write(self._fd, left[:_PIECE]) :]
            # Of a line of which nothing was written there is nothing to end.
            self._torn = bool(left) and (self._torn or len(left) < len(line))
        return len(line)


def replace_standard_error() -> TextIO:
    """All that this process writes to `sys.stderr` goes through a `LossyOutput` from now on, as UTF-8.

    Text that is no UTF-8 (bytes of a file's name, say) is written with escapes: `caf\\udce9`.
    """
    sys.stderr = io.TextIOWrapper(
        LossyOutput(_STANDARD_ERROR),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )
    return sys.stderr


def open_standard_streams() -> None:
    """Descriptors 0 to 2 that were closed when the program began lead to /dev/null, also for what it executes.

    Else the next file or socket that it opens becomes its standard error.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    # Not before: these open files of their own, which nothing that is executed gets.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # for the life of the program
