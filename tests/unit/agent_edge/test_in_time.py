"""Waits that end whoever ends first: the work, the time, or who waits."""

from __future__ import annotations

import asyncio

import pytest

from worker_agent.link.in_time import in_time, undisturbed


async def test_what_comes_in_time_is_given() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 1

    assert await in_time(work(), 60.0) == 1


async def test_what_fails_fails() -> None:
    async def work() -> int:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await in_time(work(), 60.0)


async def test_what_takes_too_long_is_ended_and_its_late_result_undone() -> None:
    undone: list[int] = []

    async def work() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 1
        return 2

    with pytest.raises(asyncio.TimeoutError):
        await in_time(work(), 0.01, undone.append)
    assert undone == [1]


async def test_who_waits_is_cancelled_also_where_the_work_ends_in_the_same_turn() -> None:
    """`asyncio.wait_for` forgets it before Python 3.12: an agent that was told to end opened another link for ever."""
    undone: list[int] = []
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        return await done

    waiting = asyncio.get_running_loop().create_task(in_time(work(), 60.0, undone.append))
    for _ in range(3):
        await asyncio.sleep(0)
    done.set_result(1)
    await asyncio.sleep(0)  # the work has ended, who waits has not heard of it
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert undone == [1]


async def test_what_is_not_to_be_disturbed_is_done_and_the_cancellation_goes_on() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append(1)

    waiting = asyncio.get_running_loop().create_task(undisturbed(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == [1]
