"""How parts of the agent live that must not end by an error: it is said, and they go on; and all that runs beside its
loop, until the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import psutil
import structlog

log = structlog.get_logger(__name__)

#: Seconds between an error and the next try.
PAUSE = 1.0
#: Seconds after which an error counts as news again, and a part that went on so long as well.
WELL = 60.0
#: Errors in a row that are not the machine's, after which the part is broken.
TRIES = 5
#: Tasks that are still there after so many seconds are cancelled once more.
CANCEL_AGAIN = 0.5
#: What a machine may do to any part at any time: a full disk, a process that is gone, no memory.
MACHINE = (OSError, psutil.Error, MemoryError, asyncio.TimeoutError)


class Broken(Exception):
    """A part of the agent fails whenever it is tried; the text names it."""


class Errors:
    """Errors that nobody expected and that must end nothing. Each is said once, until it is another one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: what was said of a part, and when it came last
        self._said: dict[str, tuple[str, float]] = {}

    def say(self, part: str, error: Exception, **fields: object) -> None:
        """Log that `part` failed, unless it did so with this error in the last `WELL` seconds."""
        now = self._clock()
        text = f"{type(error).__name__}: {error}"
        before, when = self._said.get(part, ("", now))
        self._said[part] = (text, now)
        if text != before or now - when >= WELL:
            log.error("part_failed", part=part, exc_info=error, **fields)

    @contextlib.contextmanager
    def said(self, part: str) -> Iterator[None]:
        """What is done inside may fail: that is said, and what follows goes on."""
        try:
            yield
        except Exception as error:
            self.say(part, error)


async def forever(name: str, run: Callable[[], Awaitable[None]], errors: Errors) -> None:
    """Do `run`, which ends by an error only, again and again until cancelled.

    An error of the machine's may pass: it is waited for as long as it takes. Raises `Broken` after `TRIES` others in a
    row: whoever watches the agent should start it anew.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        began = loop.time()
        try:
            await run()
        except Exception as error:
            again = loop.time() - began < WELL
            failures = 0 if isinstance(error, MACHINE) else 1 + (failures if again else 0)
            errors.say(name, error, effect=f"it goes on in {PAUSE:g} s")
            if failures >= TRIES:
                raise Broken(f"{name} failed {failures} times in a row") from error
        await asyncio.sleep(PAUSE)


class Tasks:
    """What runs beside the agent's loop. An error of it is said under its name, and ends nothing else."""

    def __init__(self, errors: Errors, broken: Callable[[BaseException], None]) -> None:
        """`broken` is told why, when what was to run for ever does not."""
        self._errors = errors
        self._broken = broken
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def once(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Have it done."""

        async def do() -> None:
            with self._errors.said(name):
                await coroutine

        self._keep(do())

    def always(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """`forever`."""
        self._keep(forever(name, run, self._errors)).add_done_callback(self._ended)

    async def end(self) -> None:
        """A cancellation can be swallowed: `asyncio.wait_for` of Python 3.11 drops one that comes with a result."""
        while self._running:
            for task in list(self._running):
                task.cancel()
            await asyncio.wait(list(self._running), timeout=CANCEL_AGAIN)

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken(error)
