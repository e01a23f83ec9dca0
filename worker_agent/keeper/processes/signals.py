"""What a small program's event loop does on a signal.

With the functions below Python's `signal`: those of that module look up the handler before among its names for
handlers, and what that raises for any other has the handler's text in it. asyncio's for SIGINT has a task in it, whose
text takes `inspect`: 1 MB.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # built in
import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

_PIECE = 4096


def on_signal(number: int, callback: Callable[[], object]) -> None:
    """From now on the running loop calls `callback` soon after each signal of this number; in the main thread only.

    The loop's own `add_signal_handler` does the same, but loads `inspect` to see that it is given no coroutine: 1 MB.
    """
    loop = asyncio.get_running_loop()

    def caught(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon(callback)  # what wakes the loop has been written before

    _Waking.of(loop)
    _signal.signal(number, caught)
    signal.siginterrupt(number, False)


def is_ignored(number: int) -> bool:
    """As whoever started this process left it."""
    return bool(_signal.getsignal(number) == _signal.SIG_IGN)


class _Waking:
    """Wakes a loop that waits, so that Python calls the handler of a signal that has come.

    A signal interrupts a wait that has begun, in the thread that the system gives it to. One that comes just before, or
    in the thread of a file, would be heard of when something else wakes the loop: a second later in a session, and
    never in a keeper that waits for one.
    """

    _latest: _Waking | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        loop.add_reader(self._ends[0], self._read)
        # A full pipe wakes the loop as well.
        signal.set_wakeup_fd(self._ends[1], warn_on_full_buffer=False)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> None:
        """Make sure that there is one: a process has one loop after the other."""
        latest = cls._latest
        if latest is not None and latest._loop is loop:
            return
        cls._latest = cls(loop)
        if latest is not None:
            latest._close()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._ends[0], _PIECE)

    def _close(self) -> None:
        for end in self._ends:
            os.close(end)
