"""A publication that is never confirmed ends the link; a slow line and a blocked broker are waited for."""

from __future__ import annotations

import asyncio

import pytest

from worker_agent.link.amqp import confirms
from worker_agent.link.amqp.confirms import ConfirmWatch


class Line:
    """A publishing connection: what is unanswered, and whether the broker answers questions."""

    def __init__(self) -> None:
        self.oldest: float | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()
        self.ended: list[str] = []
        self.over = asyncio.Event()

    async def ask(self) -> None:
        self.asked.set()
        await self.answers.wait()

    def end(self, reason: str) -> None:
        self.ended.append(reason)
        self.over.set()


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """With times that tests need not wait for."""
    monkeypatch.setattr(confirms, "CONFIRM_PATIENCE", 0.02)
    monkeypatch.setattr(confirms, "CONFIRM_LAST_PATIENCE", 0.02)
    return Line()


def watch(line: Line) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(
        ConfirmWatch(oldest=lambda: line.oldest, ask=line.ask, end=line.end).run()
    )


async def test_a_swallowed_publication_ends_the_link(line: Line) -> None:
    """The broker answers what was asked after it, and does not confirm it."""
    task = watch(line)
    line.oldest = asyncio.get_running_loop().time()
    await asyncio.wait_for(line.over.wait(), 60)
    assert "not confirmed" in line.ended[0]
    await task


async def test_a_broker_that_reads_nothing_is_waited_for(line: Line) -> None:
    """Blocked, or behind a slow line: only when it has answered does the last patience begin, and a confirm ends it."""
    line.answers.clear()
    task = watch(line)
    line.oldest = asyncio.get_running_loop().time()
    await asyncio.wait_for(line.asked.wait(), 60)
    await asyncio.sleep(0.1)  # many patiences
    assert not line.ended
    line.oldest = None
    line.answers.set()
    await asyncio.sleep(0.1)
    assert not line.ended
    task.cancel()


async def test_confirms_that_come_late_but_come_are_well(line: Line) -> None:
    """Each publication has patience of its own."""
    task = watch(line)
    for _ in range(20):
        line.oldest = asyncio.get_running_loop().time()
        await asyncio.sleep(0.01)
    assert not line.ended
    task.cancel()
