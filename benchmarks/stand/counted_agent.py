"""`python -m benchmarks.stand.counted_agent …`: `worker-agent …` that tells what it holds (`held`), tasks of asyncio
among it, and fills what it remembers of sessions that have ended."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

from benchmarks.stand.held import LOOK, Holder
from worker_agent.__main__ import main
from worker_agent.core.ended import REMEMBERED, EndedSessions  # pure: it loads nothing that an agent leaves out


def _loops() -> list[asyncio.BaseEventLoop]:
    return [found for found in gc.get_objects() if issubclass(type(found), asyncio.BaseEventLoop)]


def _tasks() -> dict[str, float]:
    return {"tasks of asyncio": sum(len(asyncio.all_tasks(loop)) for loop in _loops())}


def _fill() -> None:
    """In the loop's thread, whose they are."""
    for remembered in [found for found in gc.get_objects() if type(found) is EndedSessions]:
        for loop in _loops():
            loop.call_soon_threadsafe(remember_as_many_as_ever, remembered)


def remember_as_many_as_ever(remembered: EndedSessions) -> None:
    """Sessions that never were, in the form of a real one, as if they had ended before all that are remembered: what is
    forgotten next is one of them. Without a real one nothing happens."""
    real = list(remembered._ended.values())
    if not real:
        return
    like = real[-1]
    for _ in range(2 * REMEMBERED):  # once more: what has room for them is made anew, larger, while they go
        # texts of their own: of real sessions they are no other's either
        ticket = None if like.ticket is None else "".join(list(like.ticket))
        session, request = str(uuid.uuid4()), "".join(list(like.request))
        remembered.add(replace(like, session=session, request=request, ticket=ticket, owed=False))
    for each in real:
        remembered.add(each)


def _tell() -> None:
    holder = Holder(Path.cwd(), _tasks, _fill)
    while True:
        time.sleep(LOOK)
        holder.look()


if __name__ == "__main__":
    threading.Thread(target=_tell, daemon=True).start()
    main()
