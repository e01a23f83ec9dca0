"""What a slot tells Buildbot's database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from buildbot.util.deferwaiter import DeferWaiter
from twisted.internet import defer

from master_bridge.buildbot.worker import AMQPLatentWorker


class Updates:
    def __init__(self) -> None:
        self.made: list[tuple[Any, ...]] = []

    def set_worker_paused(self, workerid: int, paused: bool, reason: str | None) -> defer.Deferred[None]:
        self.made.append(("paused", workerid, paused, reason))
        return defer.succeed(None)

    def set_worker_graceful(self, workerid: int, graceful: bool) -> defer.Deferred[None]:
        self.made.append(("graceful", workerid, graceful))
        return defer.succeed(None)


def test_it_is_told_of_pauses_and_graceful_stops_when_they_change() -> None:
    """Not at each attach, which is each build."""
    updates = Updates()

    class Slot(AMQPLatentWorker):
        master = SimpleNamespace(data=SimpleNamespace(updates=updates))

    worker: Any = Slot.__new__(Slot)
    worker.workerid, worker._paused, worker._pause_reason = 7, False, None
    worker._deferwaiter = DeferWaiter()

    def attach() -> list[tuple[Any, ...]]:
        updates.made.clear()
        worker._update_paused()
        worker._update_graceful()
        return list(updates.made)

    assert attach() == [("paused", 7, False, None), ("graceful", 7, False)], "a former master may have left others"
    assert attach() == []
    worker.pause("too hot")
    assert updates.made == [("paused", 7, True, "too hot")]
    assert attach() == []
    worker.shutdownRequested()
    assert updates.made == [("graceful", 7, True)]
    assert attach() == []
    worker._paused, worker._pause_reason = True, "other"
    assert attach() == [("paused", 7, True, "other")]
