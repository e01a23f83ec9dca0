"""SIGTERM at a master: told once the stop is a quick one, and Buildbot's own handler is asked all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import defer

from master_bridge.buildbot.internals.stopping import QuickStop


class Reactor:
    """`turn` does what is due, once."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def callFromThread(self, work: Callable[[], None]) -> None:
        self._due.append(work)

    def callLater(self, seconds: float, work: Callable[[], None]) -> None:
        assert seconds == 0
        self._due.append(work)

    def turn(self) -> None:
        due, self._due = self._due, []
        for work in due:
            work()


@pytest.fixture
def asked() -> Iterator[list[int]]:
    """Signals that Buildbot's handler, which was there before, is asked with."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def master() -> Any:
    botmaster = SimpleNamespace(shuttingDown=False, brd=SimpleNamespace(running=True))
    return SimpleNamespace(reactor=Reactor(), initLock=defer.DeferredLock(), botmaster=botmaster, running=True)


def test_it_waits_until_nothing_is_scheduled_any_more(asked: list[int]) -> None:
    """The signal alone does not do: builds lost before would run again at once."""
    it = master()
    begun: list[bool] = []
    stop = QuickStop(it, lambda: begun.append(True))
    os.kill(os.getpid(), signal.SIGTERM)
    assert asked == [signal.SIGTERM]
    it.botmaster.shuttingDown = True
    it.reactor.turn()
    it.reactor.turn()
    assert not begun
    it.botmaster.brd.running = False
    it.reactor.turn()
    assert begun == [True]
    stop.forget()


def test_it_listens_when_the_master_has_started_and_leaves_no_trace(asked: list[int]) -> None:
    """Buildbot sets its handler at the end of its start, under the lock that it holds meanwhile."""
    it = master()
    it.initLock.acquire()
    before = signal.getsignal(signal.SIGTERM)
    stop = QuickStop(it, lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before
    it.initLock.release()
    assert signal.getsignal(signal.SIGTERM) is not before
    stop.forget()
    assert signal.getsignal(signal.SIGTERM) is before
