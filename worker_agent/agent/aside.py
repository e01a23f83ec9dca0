"""Work that a disk may keep for ever, in threads that nobody waits for when the agent leaves.

`asyncio.to_thread` is for work that surely ends: the loop, and Python itself, wait for its threads at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """What `work` gives or raises. Raises OSError when the system gives no thread."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]  # None is a T where `work` gives it

    def run() -> None:
        value, trouble = None, None
        try:
            value = work()
        except Exception as error:
            trouble = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(tell, value, trouble)

    thread = threading.Thread(target=run, name=f"aside {getattr(work, '__name__', 'work')}", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, str(error)) from None
    return answer


async def aside_each(seconds: float, work: Callable[[], object]) -> None:
    """Now, and again so many seconds after it is done, until it raises."""
    while True:
        await aside(work)
        await asyncio.sleep(seconds)
