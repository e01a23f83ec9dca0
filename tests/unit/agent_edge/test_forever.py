"""Parts of the agent that run for ever."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from worker_agent.agent import forever as module
from worker_agent.agent.forever import TRIES, WELL, Broken, Errors, forever


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)


async def test_errors_of_the_machine_are_waited_for_and_said_once_each() -> None:
    """A disk that is full for a hundred tries, then another error, then all is well: two lines, and it still runs."""
    tries = 0
    well = asyncio.Event()

    async def run() -> None:
        nonlocal tries
        tries += 1
        if tries <= 100:
            raise OSError("disk full")
        if tries == 101:
            raise OSError("disk gone")
        well.set()
        await asyncio.Event().wait()

    with capture_logs() as lines:
        task = asyncio.create_task(forever("part", run, Errors()))
        await asyncio.wait_for(well.wait(), 30)
    assert [str(line["exc_info"]) for line in lines] == ["disk full", "disk gone"]
    assert not task.done()
    task.cancel()


async def test_a_part_that_always_fails_ends_by_an_error_that_names_it() -> None:
    """An error that no waiting mends is no silent end, and no endless row of tries either."""
    tries = 0

    async def run() -> None:
        nonlocal tries
        tries += 1
        raise ValueError("a bug")

    with pytest.raises(Broken, match="part failed"):
        await asyncio.wait_for(forever("part", run, Errors()), 30)
    assert tries == TRIES


async def test_the_first_error_after_a_long_time_begins_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is as long as any other."""
    tries = 0

    async def run() -> None:
        nonlocal tries
        tries += 1
        monkeypatch.setattr(module, "WELL", 0.0 if tries == 1 else WELL)
        raise ValueError("a bug")

    with pytest.raises(Broken):
        await asyncio.wait_for(forever("part", run, Errors()), 30)
    assert tries == TRIES


async def test_errors_of_the_machine_are_in_no_row() -> None:
    """What fails behind one begins a row of its own."""
    tries = 0
    well = asyncio.Event()

    async def run() -> None:
        nonlocal tries
        tries += 1
        if tries == TRIES:
            raise OSError("disk full")
        if tries < 2 * TRIES:
            raise ValueError("a bug")
        well.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(forever("part", run, Errors()))
    await asyncio.wait_for(well.wait(), 30)
    task.cancel()


async def test_errors_with_a_long_time_between_them_are_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is the first one."""
    monkeypatch.setattr(module, "WELL", 0.0)  # whatever it went on for was long
    tries = 0
    well = asyncio.Event()

    async def run() -> None:
        nonlocal tries
        tries += 1
        if tries <= 2 * TRIES:
            raise ValueError("a bug")
        well.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(forever("part", run, Errors()))
    await asyncio.wait_for(well.wait(), 30)
    task.cancel()


async def test_a_part_that_ends_without_an_error_goes_on() -> None:
    """A loop that is left by mistake is entered again."""
    again = asyncio.Event()
    entered = 0

    async def run() -> None:
        nonlocal entered
        entered += 1
        if entered == 3:
            again.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(forever("part", run, Errors()))
    await asyncio.wait_for(again.wait(), 30)
    task.cancel()


def test_an_error_of_another_kind_with_the_same_text_is_news() -> None:
    errors = Errors(clock=lambda: 0.0)
    with capture_logs() as lines:
        for error in (KeyError("a"), ValueError("'a'"), ValueError("'a'")):
            errors.say("part", error)
    assert [type(line["exc_info"]) for line in lines] == [KeyError, ValueError]


def test_an_error_is_said_when_it_is_news() -> None:
    """The same one again and again is one line; another one is news, and so is the first after a minute of rest."""
    now = 0.0
    errors = Errors(clock=lambda: now)
    with capture_logs() as lines:
        for text in ("a", "a", "b", "b", "a"):
            with errors.said("part"):
                raise KeyError(text)
        now += WELL - 1
        errors.say("part", KeyError("a"))
        now += WELL
        errors.say("part", KeyError("a"))
        errors.say("other", KeyError("a"))
    assert [str(line["exc_info"]) for line in lines] == ["'a'", "'b'", "'a'", "'a'", "'a'"]
    assert [line["part"] for line in lines] == ["part"] * 4 + ["other"]
