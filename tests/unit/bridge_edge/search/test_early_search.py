"""A worker whose build looks for an agent before Buildbot asks, with Buildbot's own states of latent workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from buildbot.interfaces import LatentWorkerCannotSubstantiate, LatentWorkerSubstantiatiationCancelled
from buildbot.process.properties import Properties
from buildbot.process.results import CANCELLED, RETRY
from buildbot.worker.latent import AbstractLatentWorker, States
from twisted.internet import defer
from twisted.python.failure import Failure

from master_bridge.buildbot.search.early import CROWD
from master_bridge.buildbot.search.preference import Wanted
from master_bridge.buildbot.search.slot import EARLY, Slot
from master_bridge.buildbot.worker import AMQPLatentWorker
from master_bridge.core.inputs import Reroute
from tests.unit.bridge_edge.building import GTK, HOLDER, FakeBroker, FakeBuild, FakeMaster, Scenery


class WorkerForBuilder:
    """Buildbot's `LatentWorkerForBuilder` as the worker sees it."""

    def __init__(self, worker: Any, build: FakeBuild) -> None:
        self.worker, self.builder, self.busy = worker, build.builder, False
        self.remoteCommands: dict[str, str] = {}

    def isBusy(self) -> bool:
        return self.busy

    def insubstantiate_if_needed(self) -> None:
        self.worker.insubstantiate()


class Scene(Scenery):
    """One worker that is configured and idle. Steps of builds are named as Buildbot's."""

    def __init__(self) -> None:
        master = self.master = FakeMaster()
        self.broker = FakeBroker()
        self.worker: Any = AMQPLatentWorker("gtk-1")
        worker = self.worker
        worker.parent = SimpleNamespace(master=master)
        worker._requirements, worker._broker = GTK, self.broker
        worker.build_wait_timeout, worker.check_instance_interval = 0, 3600
        worker.max_builds, worker.missing_timeout, worker.notify_on_missing = 1, None, []
        worker.registration, worker.locks = None, []
        worker.workerActionConsumer = SimpleNamespace(stopConsuming=lambda: None)
        worker.properties, worker.workerid, worker.workerforbuilders = Properties(), 1, {}

    def turn(self) -> None:
        """Of the reactor."""
        self.master.reactor.advance(0)

    def starts(self, request: int = 7) -> FakeBuild:
        """`_startBuildFor`, up to where `startBuild` waits for `addBuild`."""
        build = FakeBuild(request)
        self.master.botmaster.builders["b"] = build.builder
        wfb = WorkerForBuilder(self.worker, build)
        wfb.busy = True
        self.worker.workerforbuilders = {"b": wfb}
        self.worker.buildStarted(wfb)
        build.workerforbuilder = wfb
        return build

    def sought(self, request: int = 7) -> FakeBuild:
        build = self.starts(request)
        build.numbered()
        self.turn()
        return build

    def found(self, request: int = 7) -> None:
        self.bridge.clients[f"br-{request}"].attach(HOLDER, False)

    def substantiate(self, build: FakeBuild) -> list[Any]:
        """What comes of it, once it is known."""
        results: list[Any] = []
        self.worker.substantiate(build.workerforbuilder, build).addBoth(results.append)
        return results

    def finish(self, build: FakeBuild, results: int) -> None:
        """`Build.buildFinished`."""
        build.finished, build.results = True, results
        build.workerforbuilder.busy = False
        self.worker.buildFinished(build.workerforbuilder)

    def remove(self) -> None:
        """A reconfig has no such worker any more."""
        self.worker.running = 1
        results: list[Any] = []
        self.worker.stopService().addBoth(results.append)
        assert results == [None]

    def cause(self, results: list[Any]) -> Any:
        (failure,) = results
        assert isinstance(failure, Failure)
        return failure.type


def test_it_seeks_as_soon_as_the_build_has_its_id() -> None:
    scene = Scene()
    build = scene.starts()
    scene.turn()
    assert scene.told == []
    build.numbered()
    scene.turn()
    assert scene.told == ["Seek"]
    assert scene.worker.state == States.NOT_SUBSTANTIATED


def test_what_was_found_early_is_attached_when_buildbot_asks() -> None:
    """`AbstractLatentWorker.attached` refuses what comes before. No second offer goes out."""
    scene = Scene()
    build = scene.sought()
    scene.found()
    assert scene.worker.conn is None
    assert scene.substantiate(build) == [True]
    assert scene.worker.substantiated
    assert scene.told == ["Seek"]


def test_what_comes_late_is_attached_when_it_comes() -> None:
    scene = Scene()
    build = scene.sought()
    results = scene.substantiate(build)
    assert results == []
    scene.found()
    assert results == [True]
    assert scene.told == ["Seek"]


def test_without_an_id_it_seeks_when_buildbot_asks() -> None:
    """As ever; for instance the broker's service was not running at the time of the id."""
    scene = Scene()
    running, scene.broker.bridge = scene.broker.bridge, None
    build = scene.sought()
    scene.broker.bridge = running
    assert scene.told == []
    results = scene.substantiate(build)
    assert scene.told == ["Seek"]
    scene.found()
    assert results == [True]


def test_a_broker_that_does_not_run_does_not_fail_the_build() -> None:
    """It waits, and Stop ends it."""
    scene = Scene()
    scene.broker.bridge = None
    build = scene.sought()
    results = scene.substantiate(build)
    assert results == []
    scene.worker.insubstantiate()
    assert scene.cause(results) is LatentWorkerSubstantiatiationCancelled


def test_many_builds_at_once_do_not_all_seek_early() -> None:
    """The agents would stand idle while the master's database is busy; the others seek when Buildbot asks."""
    scene = Scene()
    for each in range(100, 100 + CROWD):
        slot = Slot(worker=scene.worker, broker=scene.broker, build=FakeBuild(each), wanted=Wanted(requirements=GTK))
        scene.bridge.clients[slot.request] = slot
    build = scene.sought()
    assert scene.told == []
    results = scene.substantiate(build)
    assert scene.told == ["Seek"]
    scene.found()
    assert results == [True]


def test_builds_that_wait_are_no_crowd() -> None:
    """Buildbot is done with their preparation."""
    scene = Scene()
    for each in range(100, 100 + CROWD):
        slot = Slot(worker=scene.worker, broker=scene.broker, build=FakeBuild(each), wanted=Wanted(requirements=GTK))
        slot.begin()
        scene.bridge.clients[slot.request] = slot
    scene.sought()
    assert scene.told == ["Seek"]


# -- nothing comes of the build ---------------------------------------------------------------------------------------


def test_a_build_that_is_skipped_never_seeks() -> None:
    """`do_build_if` said no."""
    scene = Scene()
    build = scene.starts()
    build.do_build = False
    build.numbered()
    scene.turn()
    assert scene.told == []


def test_a_request_that_was_cancelled_meanwhile_never_seeks() -> None:
    """Buildbot stops its build in the turn in which it gets its id, and forgets it."""
    scene = Scene()
    build = scene.starts()
    build.numbered()
    build.stopBuild("cancelled", CANCELLED)
    scene.turn()
    assert scene.told == []


def test_a_build_without_an_id_never_seeks() -> None:
    """The database failed; nor does its id help once another build has begun."""
    scene = Scene()
    first = scene.starts(7)
    scene.starts(8)
    first.numbered()
    scene.turn()
    assert scene.told == []


@pytest.mark.parametrize("found", [False, True])
def test_a_build_that_ends_unsubstantiated_gives_back_what_it_has(found: bool) -> None:
    """`setupBuild` failed, or the worker's locks were not free: Buildbot never asks, and never stops the instance."""
    scene = Scene()
    build = scene.sought()
    if found:
        scene.found()
    scene.finish(build, CANCELLED)
    assert scene.told == ["Seek", "Done" if found else "Withdraw"]
    scene.turn()
    assert scene.worker.state == States.NOT_SUBSTANTIATED
    again = scene.sought(8)
    results = scene.substantiate(again)
    scene.found(8)
    assert results == [True]


@pytest.mark.parametrize("found", [False, True])
def test_a_stop_before_buildbot_asks_ends_the_build(found: bool) -> None:
    """Buildbot does not look at it again: it asked for an agent all the same, and waited for one."""
    scene = Scene()
    build = scene.sought()
    if found:
        scene.found()
    build.stopBuild("enough", CANCELLED)
    results = scene.substantiate(build)
    scene.turn()
    assert scene.cause(results) is LatentWorkerSubstantiatiationCancelled
    assert scene.worker.state == States.NOT_SUBSTANTIATED
    assert scene.worker.conn is None
    assert scene.told == ["Seek", "Done" if found else "Withdraw"]


def test_a_stop_before_the_id_ends_the_build_without_an_offer() -> None:
    scene = Scene()
    build = scene.starts()
    build.stopBuild("enough", CANCELLED)
    build.numbered()
    results = scene.substantiate(build)
    scene.turn()
    assert scene.cause(results) is LatentWorkerSubstantiatiationCancelled
    assert scene.told == []


@pytest.mark.parametrize("found", [False, True])
def test_buildbot_stop_before_buildbot_asks_keeps_what_it_has(found: bool) -> None:
    """The build is RETRY, and its request is run again at the next start."""
    scene = Scene()
    build = scene.sought()
    if found:
        scene.found()
    scene.master.stop_quickly()
    scene.bridge.clients["br-7"].quick_stop()
    build.stopBuild("Master Shutdown", RETRY)
    results = scene.substantiate(build)
    scene.turn()
    assert scene.cause(results) is LatentWorkerSubstantiatiationCancelled
    scene.finish(build, RETRY)
    assert scene.told == ["Seek", "Keep"]


@pytest.mark.parametrize("found", [False, True])
def test_a_removed_worker_gives_back_what_it_has(found: bool) -> None:
    """At once: its master is gone when the build ends."""
    scene = Scene()
    build = scene.sought()
    if found:
        scene.found()
    scene.remove()
    assert scene.worker.state == States.SHUT_DOWN
    assert scene.told == ["Seek", "Done" if found else "Keep"]
    assert scene.broker.bridge is not None
    assert not scene.broker.bridge.clients
    scene.worker.parent = None
    scene.finish(build, RETRY)


def test_a_worker_removed_before_the_id_never_seeks() -> None:
    scene = Scene()
    build = scene.starts()
    scene.remove()
    build.numbered()
    scene.turn()
    assert scene.told == []


def test_a_removed_worker_does_not_begin_to_seek() -> None:
    """Buildbot had chosen it for a build already."""
    scene = Scene()
    scene.remove()
    scene.sought()
    assert scene.told == []


def test_what_was_given_up_is_sought_anew_when_buildbot_asks() -> None:
    """It was slow: the early offer was taken back meanwhile."""
    scene = Scene()
    build = scene.sought()
    slot: Any = scene.bridge.clients["br-7"]
    slot._seeker.since -= EARLY + 1
    slot.refresh()
    results = scene.substantiate(build)
    scene.found()
    assert results == [True]
    assert scene.told == ["Seek", "Keep", "Seek"]


def test_a_request_abandoned_early_is_the_builds_exception() -> None:
    """As one abandoned later is."""
    scene = Scene()
    build = scene.sought()
    client = scene.bridge.clients.pop("br-7")
    client.abandoned("5 agents were lost")
    results = scene.substantiate(build)
    assert scene.cause(results) is LatentWorkerCannotSubstantiate
    scene.turn()
    assert scene.worker.state == States.NOT_SUBSTANTIATED


# -- beside the build before, and people ------------------------------------------------------------------------------


def test_the_build_before_ends_its_own_slot_only() -> None:
    """The next build seeks, and asks, while the instance of the one before is still being stopped."""
    scene = Scene()
    first = scene.sought(7)
    scene.found(7)
    assert scene.substantiate(first) == [True]
    scene.worker._start_stop_lock.acquire()  # stopping takes its time
    scene.finish(first, 0)
    second = scene.sought(8)
    scene.found(8)
    assert scene.told == ["Seek", "Done", "Seek"]
    scene.worker.insubstantiate()
    scene.worker._start_stop_lock.release()
    assert scene.substantiate(second) == [True]
    assert scene.told == ["Seek", "Done", "Seek"]
    assert scene.worker.substantiated


def test_the_next_build_waits_for_the_end_of_the_instance_before() -> None:
    """INSUBSTANTIATING_SUBSTANTIATING: `stop_instance` of the one leads to `start_instance` of the other."""
    scene = Scene()
    first = scene.sought(7)
    scene.found(7)
    assert scene.substantiate(first) == [True]
    stopped: defer.Deferred[bool] = defer.Deferred()
    stop_instance = scene.worker.stop_instance

    def slowly(fast: bool = False) -> defer.Deferred[bool]:
        return stopped.addCallback(lambda _: stop_instance(fast))

    scene.worker.stop_instance = slowly
    scene.finish(first, 0)
    second = scene.sought(8)
    scene.found(8)
    results = scene.substantiate(second)
    assert scene.worker.state == States.INSUBSTANTIATING_SUBSTANTIATING
    stopped.callback(True)
    assert results == [True]
    assert scene.told == ["Seek", "Done", "Seek"]
    assert scene.worker._slot is not None
    assert scene.worker._slot.request == "br-8"


def test_a_reconfig_moves_the_early_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other requirements; `start_instance` goes on with it."""
    scene = Scene()
    monkeypatch.setattr(AbstractLatentWorker, "reconfigService", lambda *_, **__: defer.succeed(None))
    monkeypatch.setattr("master_bridge.buildbot.worker.broker_of", lambda _: defer.succeed(scene.broker))
    build = scene.sought()
    scene.worker.reconfigService("gtk-1", requires=["wx"])
    assert scene.bridge.fed[1:] == [Reroute(request="br-7", signature="wx")]
    results = scene.substantiate(build)
    scene.found()
    assert results == [True]
    assert scene.told == ["Seek", "Reroute"]


def test_nobody_is_warned_of_a_build_that_buildbot_prepares() -> None:
    """`notify_after_minutes` counts for builds that wait."""
    scene = Scene()
    build = scene.sought()
    assert scene.worker.notice_due() is None
    scene.substantiate(build)
    assert scene.worker.notice_due() is not None


def test_kill_does_not_touch_what_buildbot_does_not_have() -> None:
    """Buildbot's worker page: nothing runs in this slot yet."""
    scene = Scene()
    build = scene.sought()
    scene.found()
    scene.worker.shutdown()
    assert scene.told == ["Seek"]
    assert scene.substantiate(build) == [True]


def test_the_newest_build_is_the_one_that_starts() -> None:
    """A builder has others, on other workers."""
    scene = Scene()
    other, build = FakeBuild(6), FakeBuild(7)
    build.builder.building = [other, build]
    wfb = WorkerForBuilder(scene.worker, build)
    wfb.busy = True
    scene.worker.buildStarted(wfb)
    other.numbered()
    scene.turn()
    assert scene.told == []
    build.numbered()
    scene.turn()
    assert list(scene.bridge.clients) == ["br-7"]
