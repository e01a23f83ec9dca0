"""A slot before Buildbot has begun it: what is found is kept for `begin`, and given back where that never comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from buildbot.locks import WorkerLock
from buildbot.process.results import CANCELLED, EXCEPTION, RETRY
from buildbot.worker.protocols.base import Connection

from contracts.requirements.sets import Requirements
from master_bridge.buildbot.search.preference import Wanted, preference
from master_bridge.buildbot.search.slot import EARLY, QUIET, Slot
from master_bridge.core.inputs import Reroute, Seek
from tests.unit.bridge_edge.building import GTK, HOLDER, FakeBroker, FakeBuild, FakeWorker, Scenery


class Scene(Scenery):
    """A build that has its id, and its slot, which seeks."""

    def __init__(self, build: FakeBuild | None = None, prefers: tuple[str, ...] = (), *, seal: bool = False) -> None:
        self.worker = FakeWorker()
        self.master = self.worker.master
        self.broker = FakeBroker()
        self.build = build or FakeBuild()
        self.master.botmaster.builders["b"] = self.build.builder
        self.build.buildid = self.build.number = 70
        self.slot = Slot(
            worker=self.worker,
            broker=self.broker,
            build=self.build,
            wanted=Wanted(requirements=GTK, preference=preference(["gtk"], list(prefers), 20.0), seal=seal),
        )
        self.slot.seek()

    def found(self, *, adopted: bool = False) -> None:
        self.slot.attach(HOLDER, adopted)

    def lose(self) -> None:
        """As the bridge does it: the request is forgotten, then its client told."""
        self.bridge.clients.clear()
        self.slot.lost("it died")

    def abandon(self) -> None:
        self.bridge.clients.clear()
        self.slot.abandoned("5 agents were lost")

    def finish(self, results: int) -> None:
        self.build.finished, self.build.results = True, results
        self.slot.leave()

    @property
    def connection(self) -> Connection | None:
        """Buildbot's."""
        return self.master.connections[-1] if self.master.connections else None


def test_an_agent_found_early_is_buildbots_when_it_begins() -> None:
    """Not before: neither a connection nor a property, each of which would be a transaction of its own."""
    scene = Scene()
    scene.found()
    assert scene.connection is None
    assert scene.worker.attached_to == []
    assert not scene.build.properties.hasProperty("agent")
    scene.slot.begin()
    assert scene.worker.attached_to == [scene.connection]
    assert scene.build.properties.getProperty("agent") == "a1"
    assert scene.build.properties.getProperty("agent_account") == "u"
    assert scene.build.properties.getProperty("agent_instance") == "i1"
    assert scene.told == ["Seek"]


def test_an_agent_that_comes_later_is_buildbots_at_once() -> None:
    """As ever."""
    scene = Scene()
    scene.slot.begin()
    assert scene.worker.attached_to == []
    scene.found()
    assert scene.worker.attached_to == [scene.connection]
    assert scene.build.properties.getProperty("agent") == "a1"


def test_the_offer_names_the_build() -> None:
    """As before: the request is the key, the build's id the run."""
    (seek,) = Scene().bridge.fed
    assert isinstance(seek, Seek)
    assert (seek.request, seek.run, seek.title, seek.signature) == ("br-7", 70, "b #70", "gtk")
    assert (seek.kind, seek.priority, seek.seal) == ("build", 0, False)
    (seek,) = Scene(seal=True).bridge.fed
    assert isinstance(seek, Seek)
    assert seek.seal


def test_the_offer_names_the_locks_of_the_build_and_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both limit what runs on the agent's machine."""
    build = FakeBuild()
    build.locks = [WorkerLock("disk").access("counting")]  # type: ignore[attr-defined]
    monkeypatch.setattr(FakeWorker, "locks", [WorkerLock("licence").access("counting")], raising=False)
    (seek,) = Scene(build).bridge.fed
    assert isinstance(seek, Seek)
    assert [lock.name for lock in seek.locks] == ["disk", "licence"]


def test_nothing_is_said_of_a_wait_before_buildbot_waits() -> None:
    """And its silence of half a second begins then."""
    scene = Scene()
    said = scene.master.updates.made
    scene.master.reactor.advance(QUIET + 1)
    scene.slot.refresh()
    scene.build.prepared()
    scene.slot.begin()
    scene.slot.refresh()
    assert said == []
    scene.master.reactor.advance(QUIET)
    assert [made[0] for made in said] == ["setStepStateString", "setBuildStateString"]


def test_a_slot_waits_for_buildbot_only_after_it_began() -> None:
    """So nobody is warned of a build that Buildbot still prepares."""
    scene = Scene()
    assert not scene.slot.waiting
    scene.slot.begin()
    assert scene.slot.waiting
    scene.found()
    assert not scene.slot.waiting


# -- it comes to nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("results", [CANCELLED, EXCEPTION])
def test_a_build_that_ends_before_withdraws_its_offer(results: int) -> None:
    """The machine then takes the offer out of its queue, if no agent takes it meanwhile."""
    scene = Scene()
    scene.finish(results)
    assert scene.told == ["Seek", "Withdraw"]
    assert scene.slot.over


@pytest.mark.parametrize("adopted", [False, True])
def test_a_build_that_ends_before_releases_its_agent(adopted: bool) -> None:
    scene = Scene()
    scene.found(adopted=adopted)
    scene.finish(CANCELLED)
    assert scene.told == ["Seek", "Done"]
    assert scene.slot.over


def test_a_build_to_be_repeated_sets_a_fresh_agent_free() -> None:
    """It has run nothing yet, and its build may have to wait for a lock."""
    scene = Scene()
    scene.found()
    scene.finish(RETRY)
    assert scene.told == ["Seek", "Done"]


def test_a_build_to_be_repeated_keeps_what_ran_before_the_masters_restart() -> None:
    """Its next build goes on with it: a release would kill what runs."""
    scene = Scene()
    scene.found(adopted=True)
    scene.finish(RETRY)
    assert scene.told == ["Seek", "Keep"]


def test_nor_is_a_session_ended_that_is_just_being_adopted() -> None:
    """Granted again and not accepted yet: the slot has not heard of its agent."""
    scene = Scene()
    scene.finish(RETRY)
    assert scene.told == ["Seek", "Keep"]


def test_a_quick_stop_keeps_all() -> None:
    """The offer stays in its queue, as one of a waiting build does."""
    scene = Scene()
    scene.master.stop_quickly()
    scene.build.stopBuild("Master Shutdown", RETRY)
    scene.finish(RETRY)
    assert scene.told == ["Seek", "Keep"]


def test_a_quick_stop_keeps_the_agent_at_once() -> None:
    scene = Scene()
    scene.found()
    scene.master.stop_quickly()
    scene.slot.quick_stop()
    assert scene.told == ["Seek", "Keep"]
    assert scene.slot.over
    scene.finish(RETRY)
    assert scene.told == ["Seek", "Keep"]


def test_a_triggered_build_is_not_kept() -> None:
    """Buildbot cancels it in a quick stop."""
    scene = Scene()
    scene.build.requests[0].waitedFor = True
    scene.found()
    scene.master.stop_quickly()
    scene.slot.quick_stop()
    scene.finish(CANCELLED)
    assert scene.told == ["Seek", "Done"]


def test_a_removed_worker_leaves_its_agent_to_the_next() -> None:
    """A reconfig: Buildbot repeats the build on another worker of its builder."""
    scene = Scene(FakeBuild(others=("gtk-2",)))
    scene.found()
    scene.worker.removed = True
    scene.slot.leave()
    assert scene.told == ["Seek", "Keep"]


@pytest.mark.parametrize(("adopted", "told"), [(False, "Done"), (True, "Keep")])
def test_an_agent_is_not_held_for_a_build_that_is_stuck(adopted: bool, told: str) -> None:
    """Buildbot dropped it after an error: neither `begin` nor an end will come."""
    scene = Scene()
    scene.found(adopted=adopted)
    scene.slot.refresh()
    assert not scene.slot.over
    scene.slot._seeker.since -= EARLY + 1
    scene.slot.refresh()
    assert scene.told == ["Seek", told]


def test_an_offer_does_not_wait_for_a_build_that_is_stuck() -> None:
    scene = Scene()
    scene.slot._seeker.since -= EARLY + 1
    scene.slot.refresh()
    assert scene.slot.over


@pytest.mark.parametrize("found", [False, True])
def test_a_stopped_build_is_given_up_at_the_next_look(found: bool) -> None:
    """Buildbot forgets a build whose request was cancelled while it started."""
    scene = Scene()
    if found:
        scene.found()
    scene.build.stopBuild("no", CANCELLED)
    scene.slot.refresh()
    assert scene.told == ["Seek", "Done" if found else "Withdraw"]


def test_one_that_has_begun_waits_for_as_long_as_it_takes() -> None:
    """Only what Buildbot does not begin is given up."""
    scene = Scene()
    scene.slot.begin()
    scene.slot._seeker.since -= EARLY + 1
    scene.slot.refresh()
    assert scene.told == ["Seek"]


# -- the bridge has news before ---------------------------------------------------------------------------------------


def test_an_agent_lost_early_is_replaced() -> None:
    """Buildbot never hears of the first one."""
    scene = Scene()
    scene.found()
    scene.lose()
    assert scene.told == ["Seek", "Seek"]
    scene.slot.begin()
    assert scene.worker.attached_to == []
    assert scene.slot.waiting
    scene.found()
    assert scene.worker.attached_to == [scene.connection]
    assert not scene.build.finished


@pytest.mark.parametrize("found", [False, True])
def test_a_request_abandoned_early_fails_when_its_build_begins(found: bool) -> None:
    """Before that there is no step that could show why."""
    scene = Scene()
    if found:
        scene.found()
    scene.abandon()
    assert scene.worker.failures == []
    scene.slot.begin()
    (failure,) = scene.worker.failures
    assert "5 agents were lost" in str(failure.value)
    assert scene.worker.attached_to == []


def test_a_request_abandoned_early_whose_build_never_begins() -> None:
    scene = Scene()
    scene.abandon()
    scene.finish(CANCELLED)
    assert scene.worker.failures == []
    assert scene.told == ["Seek"], "the bridge has forgotten it already"


def test_a_stop_before_the_masters_restart_is_carried_out_at_once() -> None:
    scene = Scene()
    scene.found(adopted=True)
    scene.slot.cancelled_earlier("enough")
    assert scene.build.stops == [("enough", CANCELLED)]


def test_an_early_offer_moves_with_its_requirements() -> None:
    """A reconfig changed `requires`."""
    scene = Scene()
    scene.slot.reroute(Requirements.of(["wx"]))
    assert scene.bridge.fed[-1] == Reroute(request="br-7", signature="wx")
    scene.slot.begin()
    assert scene.slot.signature == "wx"


def test_an_agent_found_early_stays_whatever_a_reconfig_requires() -> None:
    """The build has its steps from the configuration of before, too."""
    scene = Scene()
    scene.found()
    scene.slot.reroute(Requirements.of(["wx"]))
    scene.slot.begin()
    assert scene.told == ["Seek"]
    assert scene.worker.attached_to == [scene.connection]


@pytest.mark.parametrize("early", [lambda scene: None, lambda scene: scene.slot.begin()], ids=["sought", "waiting"])
def test_what_it_prefers_is_waited_for_from_the_offer_on(early: Callable[[Scene], None]) -> None:
    """Begun or not, it settles for less when the time is over."""
    scene = Scene(prefers=("python>=3",))
    early(scene)
    assert scene.slot.signature != "gtk"
    scene.master.reactor.advance(20.0)
    assert scene.slot.signature == "gtk"
    assert scene.bridge.fed[-1] == Reroute(request="br-7", signature="gtk")


def test_it_settles_for_less_once() -> None:
    """An agent is lost after that: what is sought again is what is required."""
    scene = Scene(prefers=("python>=3",))
    scene.master.reactor.advance(20.0)
    scene.found()
    scene.lose()
    seek = scene.bridge.fed[-1]
    assert isinstance(seek, Seek)
    assert seek.signature == "gtk"
    scene.build.prepared()
    scene.slot.begin()
    scene.master.reactor.advance(QUIET)
    (text,) = [made[2] for made in scene.master.updates.made if made[0] == "setStepStateString"]
    assert text.startswith("waits for an agent with gtk since ")
    assert "will do" not in text
    scene.master.reactor.advance(60.0)
    assert scene.told == ["Seek", "Reroute", "Seek"]
