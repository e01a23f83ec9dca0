"""A publication that is never confirmed ends the link; a slow line and a blocked broker are waited for."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.timing import CONFIRM_LAST_PATIENCE, CONFIRM_PATIENCE
from master_bridge.link.amqp.connection.confirms import ConfirmWatch


class Line:
    """A publishing connection: what is unanswered, and which questions wait for their answer."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.oldest: float | None = None
        self.asked: list[defer.Deferred[Any]] = []
        self.ended: list[str] = []
        self.watch = ConfirmWatch(self.clock, oldest=lambda: self.oldest, ask=self._ask, end=self.ended.append)
        self.watch.start()

    def _ask(self) -> defer.Deferred[Any]:
        self.asked.append(defer.Deferred())
        return self.asked[-1]

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)


def test_a_swallowed_publication_ends_the_link() -> None:
    """The broker answers what was asked after it, and does not confirm it. Once, and no timer is left."""
    line = Line()
    line.pass_time(10)
    line.oldest = line.clock.seconds()
    line.pass_time(CONFIRM_PATIENCE + 1)
    assert len(line.asked) == 1
    line.asked[0].callback(None)
    line.pass_time(CONFIRM_LAST_PATIENCE + 1)
    assert len(line.ended) == 1
    assert "not confirmed" in line.ended[0]
    assert line.clock.getDelayedCalls() == []


def test_a_broker_that_reads_nothing_is_waited_for() -> None:
    """Blocked, or behind a slow line: when it has read all, the confirm comes, too."""
    line = Line()
    line.oldest = 0.0
    line.pass_time(600)
    assert not line.ended
    line.asked[0].callback(None)
    line.oldest = None
    line.pass_time(60)
    assert not line.ended
    assert len(line.asked) == 1


def test_late_confirms_are_confirms() -> None:
    """Another publication is the oldest meanwhile: it has patience of its own."""
    line = Line()
    line.oldest = 0.0
    line.pass_time(CONFIRM_PATIENCE + 1)
    line.asked[0].callback(None)
    line.oldest = line.clock.seconds()
    line.pass_time(CONFIRM_LAST_PATIENCE + 0.5)
    assert not line.ended


def test_nothing_is_watched_after_the_end() -> None:
    """A closed connection leaves no timer, whatever was asked."""
    line = Line()
    line.oldest = 0.0
    line.pass_time(CONFIRM_PATIENCE + 1)
    line.watch.stop()
    line.asked[0].errback(RuntimeError("closed"))
    assert line.clock.getDelayedCalls() == []
    assert not line.ended
