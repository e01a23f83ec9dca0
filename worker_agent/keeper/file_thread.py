"""Calls of the file system beside the event loop, because any of them may not come back.

A path that a build names may be a FIFO that nobody opens at the other end, a terminal, a device that has nothing to
say, or lie on a mount whose server is gone. Such a call costs a thread; the keeper's loop, its time limits and a Stop
go on. The threads are daemons: a keeper ends though one of its calls never returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
#: One call: what to do, and where its result goes.
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]
#: Seconds that clearing up may take before it is left to the thread.
CLEARING_PATIENCE = 1.0


class Interrupted(Exception):
    """The command was interrupted before the call came back; the call is left to itself."""


class FileThread:
    """One thread for the calls of one user of files, made at the first call. Calls are carried out in their order."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._interrupted = False

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `function` returns or raises; `Interrupted` at once after `interrupt`."""
        if self._interrupted:
            raise Interrupted
        return await self._submit(lambda: function(*args, **kwargs))

    async def clear_up(self, function: Callable[[], None]) -> None:
        """After all calls so far, also after `interrupt`. Where they do not come back it is left to the thread.

        Raises nothing: what cannot be cleared up is thrown away.
        """
        future = self._submit(function)
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(future, CLEARING_PATIENCE)

    def interrupt(self) -> None:
        """Nobody waits any more for what is under way, and nothing new is called."""
        self._interrupted = True
        for future in self._waiting:
            if not future.done():
                future.set_exception(Interrupted())

    def close(self, last: Callable[[], None] | None = None) -> None:
        """The thread ends after its last call, which is `last`. Without a thread there is nothing to be done."""
        if self._jobs is not None:
            if last is not None:
                self._submit(last)
            self._jobs.put(None)
            self._jobs = None

    def _submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name="files", daemon=True).start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._jobs.put((work, future))
        return future


def open_file(path: str, mode: Literal["rb", "wb"]) -> BinaryIO:
    """As `open`, but a terminal does not become the keeper's own. It may block: for a `FileThread`."""
    flags = {"rb": os.O_RDONLY, "wb": os.O_WRONLY | os.O_CREAT | os.O_TRUNC}[mode]
    return os.fdopen(os.open(path, flags | os.O_NOCTTY | os.O_CLOEXEC, 0o666), mode)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        work, future = job
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: the keeper has ended without us
            future.get_loop().call_soon_threadsafe(_settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # nobody waits any more
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
