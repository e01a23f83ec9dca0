"""What a small program's event loop does on a signal."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType


def on_signal(number: int, callback: Callable[[], object]) -> None:
    """From now on the running loop calls `callback` soon after each signal of this number; in the main thread only.

    The loop's own `add_signal_handler` does the same, but loads `inspect` to see that it is given no coroutine: 1 MB.
    """
    loop = asyncio.get_running_loop()

    def caught(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)  # it wakes the loop, as another call would not

    signal.signal(number, caught)
    signal.siginterrupt(number, False)
