"""What Buildbot's database hears of an agent in a slot: with its first command, in order, not in a build's way."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import defer

from master_bridge.buildbot.internals.connected import SOON, Connected
from tests.unit.bridge_edge.building import FakeMaster
from tests.unit.bridge_edge.search.test_early_search import Scene


class Attached:
    """A worker of Buildbot's that has just attached its agent."""

    def __init__(self) -> None:
        self.master = FakeMaster()
        self.connected = Connected(self.master)
        self.updates = self.connected.seen_by_worker().data.updates
        self.attached = self.updates.workerConnected(workerid=1, masterid=2, workerinfo={"version": "1"})

    @property
    def told(self) -> list[str]:
        return self.master.updates.names()

    def detach(self) -> defer.Deferred[Any]:
        result: defer.Deferred[Any] = self.updates.workerDisconnected(workerid=1, masterid=2)
        return result


def test_attaching_waits_for_no_database() -> None:
    """So the build goes on at once; all else that Buildbot asks of its master is the master's."""
    scene = Attached()
    assert scene.attached.called
    assert scene.told == []
    seen = scene.connected.seen_by_worker()
    assert seen.botmaster is scene.master.botmaster
    seen.data.updates.set_worker_paused(1, False, None)
    assert scene.told == ["set_worker_paused"]


def test_it_is_told_with_the_first_command() -> None:
    """What Buildbot wanted to tell, once."""
    scene = Attached()
    scene.connected.tell()
    scene.connected.tell()
    scene.master.reactor.advance(SOON)
    assert scene.master.updates.made == [("workerConnected", 1, 2, {"version": "1"})]


def test_it_is_told_soon_where_no_command_comes() -> None:
    """The build's first steps may be the master's."""
    scene = Attached()
    scene.master.reactor.advance(SOON)
    assert scene.told == ["workerConnected"]
    scene.detach()
    assert scene.told == ["workerConnected", "workerDisconnected"]


def test_what_was_never_told_is_not_taken_back() -> None:
    """Nor told later."""
    scene = Attached()
    assert scene.detach().called
    scene.master.reactor.advance(SOON)
    assert scene.told == []


def test_one_is_told_after_the_other() -> None:
    """A database with several connections might do the second first, and show the agent for ever."""
    scene = Attached()
    slow: defer.Deferred[None] = defer.Deferred()
    scene.connected._updates.workerConnected = lambda **_: slow
    scene.connected.tell()
    detached = scene.detach()
    assert not detached.called
    slow.callback(None)
    assert detached.called
    assert scene.told == ["workerDisconnected"]


def test_a_database_in_trouble_does_not_cost_the_build_its_agent() -> None:
    """It is logged; the end of the connection is told all the same."""
    scene = Attached()
    scene.connected._updates.workerConnected = lambda **_: defer.fail(OSError("locked"))
    scene.connected.tell()
    assert scene.detach().called
    assert scene.told == ["workerDisconnected"]


@pytest.mark.parametrize("command", [False, True])
def test_a_worker_tells_of_its_agent(command: bool) -> None:
    """With Buildbot's own `attached` and `detached`."""
    scene = Scene()
    build = scene.sought()
    scene.found()
    assert scene.substantiate(build) == [True]
    told = scene.master.updates
    assert "workerConnected" not in told.names()
    if command:
        scene.worker.command_starts()
    assert ("workerConnected" in told.names()) == command
    assert scene.worker.master is scene.master
    scene.finish(build, 0)
    scene.turn()
    assert scene.worker.conn is None
    assert ("workerDisconnected" in told.names()) == command
