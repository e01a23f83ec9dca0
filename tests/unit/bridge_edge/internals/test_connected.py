"""Buildbot's own code attaches and detaches a slot's agent, and its database hears nothing of it."""

from __future__ import annotations

from master_bridge.buildbot.internals.connected import without_connections
from tests.unit.bridge_edge.building import FakeMaster
from tests.unit.bridge_edge.search.test_early_search import Scene


def test_only_connections_are_kept_from_the_database() -> None:
    """All else that Buildbot asks of its master is the master's."""
    master = FakeMaster()
    seen = without_connections(master)
    assert seen.data.updates.workerConnected(workerid=1, masterid=2, workerinfo={"version": "1"}).called
    assert seen.data.updates.workerDisconnected(workerid=1, masterid=2).called
    assert master.updates.made == []
    seen.data.updates.set_worker_paused(1, False, None)
    assert master.updates.names() == ["set_worker_paused"]
    assert seen.botmaster is master.botmaster


def test_a_worker_keeps_its_row_as_it_is() -> None:
    """With Buildbot's own `attached` and `detached`."""
    scene = Scene()
    build = scene.sought()
    scene.found()
    assert scene.substantiate(build) == [True]
    assert scene.worker.master is scene.master
    scene.finish(build, 0)
    scene.turn()
    assert scene.worker.conn is None
    assert not {"workerConnected", "workerDisconnected"} & set(scene.master.updates.names())
