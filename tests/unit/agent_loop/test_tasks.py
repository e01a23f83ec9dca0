"""What runs beside the agent's loop: named where it fails, gone at the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from worker_agent.agent import forever
from worker_agent.agent.forever import Broken, Errors, Tasks


async def ticks(count: int) -> None:
    """So many turns of the loop of asyncio."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_is_done_once_is_named_where_it_fails(log: Any) -> None:
    """And is gone when it is done, so or so."""
    broken: list[BaseException] = []
    tasks = Tasks(Errors(), broken.append)
    did: list[str] = []

    async def works() -> None:
        did.append("work")

    async def fails() -> None:
        raise OSError("planted")

    tasks.once("first", fails())
    tasks.once("second", works())
    assert len(tasks) == 2
    await ticks(3)
    assert did == ["work"]
    assert [entry["part"] for entry in log("part_failed")] == ["first"]
    assert len(tasks) == 0
    assert broken == []


async def test_what_runs_for_ever_is_tried_again(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it fails whenever it is tried: that is told once."""
    monkeypatch.setattr(forever, "PAUSE", 0.0)
    broken: list[BaseException] = []
    tasks = Tasks(Errors(), broken.append)
    tried: list[None] = []

    async def fails() -> None:
        tried.append(None)
        raise ValueError("planted")

    tasks.always("queues", fails)
    while not broken:
        await asyncio.sleep(0)
    (error,) = broken
    assert isinstance(error, Broken)
    assert str(error) == f"queues failed {forever.TRIES} times in a row"
    assert len(tried) == forever.TRIES
    assert [(entry["part"], entry["effect"]) for entry in log("part_failed")] == [("queues", "it goes on in 0 s")]
    assert len(tasks) == 0


async def test_what_is_ended_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is gone then, also what swallows a cancellation."""
    monkeypatch.setattr(forever, "CANCEL_AGAIN", 0.01)
    broken: list[BaseException] = []
    tasks = Tasks(Errors(), broken.append)
    swallowed: list[None] = []

    async def waits() -> None:
        await asyncio.Event().wait()

    async def stubborn() -> None:
        while len(swallowed) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(None)

    tasks.always("waits", waits)
    tasks.once("waits, too", waits())
    tasks.once("stubborn", stubborn())
    await ticks(2)
    await asyncio.wait_for(tasks.end(), 30.0)
    assert len(tasks) == 0
    assert len(swallowed) == 2
    assert broken == []
