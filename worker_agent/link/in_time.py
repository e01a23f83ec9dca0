"""Waits that end, and what is not left half done, whoever is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_time(
    work: Coroutine[Any, Any, Result], seconds: float, undo: Callable[[Result], object] = lambda _: None
) -> Result:
    """What `work` gives within so many seconds; `undo` is called with a result that nobody takes any more.

    Raises TimeoutError of asyncio. `asyncio.wait_for` of Python before 3.12 forgets that its caller was cancelled where
    `work` ends in the same turn: a link that was told to end would go on for ever.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        await _end(task, undo)
        raise
    await _end(task, undo)
    raise asyncio.TimeoutError


async def _end(task: asyncio.Task[Result], undo: Callable[[Result], object]) -> None:
    """Whatever it has come to."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled() and task.exception() is None:
        undo(task.result())


async def undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Wait until `work` is done, though cancelled meanwhile; the cancellation goes on afterwards."""
    task = asyncio.get_running_loop().create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError
