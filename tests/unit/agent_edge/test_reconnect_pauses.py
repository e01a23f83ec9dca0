"""Pauses between two tries to reach the broker."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from itertools import repeat

import pytest

from contracts.timing import GRACE
from worker_agent.core.inputs import Input, LinkUp
from worker_agent.link.errors import LinkError
from worker_agent.link.link import Link, longest_pause
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import LinkListener


def test_pauses_are_short_while_a_bridge_still_waits() -> None:
    """Within the grace no pause takes more than a second of it."""
    assert all(longest_pause(tenth / 10, 15.0) <= 1.0 for tenth in range(int(GRACE * 10) + 1))


def test_pauses_grow_to_their_bound() -> None:
    """A broker that is away for long is not asked all the time, but at least so often."""
    assert longest_pause(30.0, 15.0) == 6.0
    assert longest_pause(3600.0, 15.0) == 15.0
    assert longest_pause(3600.0, 0.2) == 0.2


class Scene:
    """One agent's link on a clock that jumps. `lives`: seconds that its lives last; None: it cannot be had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lives: Iterator[float | None]) -> None:
        self._lives = lives
        self._jumped = 0.0
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + self._jumped)
        monkeypatch.setattr(random, "uniform", self._pause)
        monkeypatch.setattr(Link, "_make", lambda _link, _options, address: Life(self, address))
        #: upper bounds, in seconds; each pause takes as long
        self.pauses: list[float] = []
        self.ups = 0
        listener = LinkListener(
            on_input=self._on_input, queue_gone=lambda _: None, sent_to_dead=lambda: None, asked=lambda: None
        )
        options = LinkOptions(url="amqp://broker/", name="a1")
        epochs = itertools.count(1).__next__
        self._link = Link((options,), instance="i", agent="a1", next_epoch=epochs, listener=listener)

    def next_life(self) -> float | None:
        return next(self._lives, None)

    def jump(self, seconds: float) -> None:
        self._jumped += seconds

    def _pause(self, _least: float, most: float) -> float:
        self.pauses.append(most)
        self.jump(most)
        return 0.0

    def _on_input(self, what: Input) -> None:
        self.ups += isinstance(what, LinkUp)

    async def until(self, condition: Callable[[], bool]) -> None:
        running = asyncio.create_task(self._link.run())
        while not condition():
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])


class Life:
    """An `OpenLink` that is lost after its time."""

    product = "a broker"
    opened_at = 0.0

    def __init__(self, scene: Scene, address: str) -> None:
        self.address = address
        self._scene = scene
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        lasts = self._scene.next_life()
        if lasts is None:
            raise LinkError("nobody is there")
        asyncio.get_running_loop().call_soon(self._end, lasts)

    def _end(self, lasts: float) -> None:
        self._scene.jump(lasts)
        if not self.lost.done():
            self.lost.set_result("lost")

    async def close(self) -> None: ...


@pytest.mark.parametrize("lived", [0.5, 9.0, 11.0, 3600.0])
async def test_how_long_a_link_was_up_makes_no_pause_longer(monkeypatch: pytest.MonkeyPatch, lived: float) -> None:
    """A cut soon after the agent's start is as short as any other: its master's grace is."""
    scene = Scene(monkeypatch, iter([lived]))
    began = time.monotonic()
    await scene.until(lambda: time.monotonic() > began + lived + GRACE)
    assert len(scene.pauses) >= GRACE, "tries within the grace"
    away = list(itertools.accumulate(scene.pauses, initial=0.0))
    assert all(pause <= max(1.0, since) for pause, since in zip(scene.pauses, away, strict=False))


@pytest.mark.parametrize("lived", [0.0, 9.0])
async def test_a_link_that_is_lost_again_and_again_is_made_more_and_more_rarely(
    monkeypatch: pytest.MonkeyPatch, lived: float
) -> None:
    scene = Scene(monkeypatch, repeat(lived))
    await scene.until(lambda: scene.pauses[-1:] == [15.0])
    assert scene.pauses == sorted(scene.pauses)
    assert scene.ups < 100


async def test_after_a_link_that_settled_pauses_are_short_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, itertools.chain(repeat(0.0, 40), [11.0]))
    await scene.until(lambda: scene.ups == 41 and len(scene.pauses) > 42)
    assert scene.pauses[39] > 5.0
    assert scene.pauses[40] < 1.0
