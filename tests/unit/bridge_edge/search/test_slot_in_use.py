"""A slot that Buildbot has begun: its agent runs commands, is lost, fails, or is named to people."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from buildbot.interfaces import LatentWorkerCannotSubstantiate
from structlog.testing import capture_logs
from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.messages import Capability, Event
from contracts.timing import LIVES
from master_bridge.buildbot.builddirs import component
from master_bridge.buildbot.search.early import EarlySearch
from master_bridge.buildbot.search.slot import QUIET, Slot
from master_bridge.buildbot.sessions.connection import AMQPConnection
from master_bridge.core.inputs import InterruptCommand
from tests.unit.bridge_edge.building import GTK, HOLDER, FakeBuild, Updates
from tests.unit.bridge_edge.search.test_slot import Scene
from tests.unit.bridge_edge.test_session import FakeCommand

HAS = replace(HOLDER, capabilities=(Capability(name="gtk", version="3.24"), Capability(name="wx")))


class InUse(Scene):
    """Begun, with an agent and one running command."""

    def __init__(self, *, early: bool = False, **fields: Any) -> None:
        super().__init__(**fields)
        self.failures: list[str] = []
        self.broker.count_infrastructure_failure = self._count  # type: ignore[attr-defined]
        if early:
            self.slot.attach(HAS, False)
        self.slot.begin()
        if not early:
            self.slot.attach(HAS, False)
        self.command = FakeCommand()
        session = self.slot.session
        assert session is not None
        self.running = session.follow(self.command)  # type: ignore[arg-type]

    def _count(self, request: str) -> int:
        self.failures.append(request)
        return len(self.failures)

    @property
    def amqp(self) -> AMQPConnection:
        assert isinstance(self.connection, AMQPConnection)
        return self.connection

    @property
    def headers(self) -> list[str]:
        return [value for key, value in self.command.updates if key == "header"]


# ---- the agent becomes Buildbot's


def test_what_buildbot_gets_is_the_workers_and_the_agents() -> None:
    """A connection over the request's session."""
    scene = InUse()
    session = scene.slot.session
    assert session is not None
    assert (session.holder, scene.amqp.session) == (HAS, session)
    session.interrupt(scene.running, "enough")
    assert scene.bridge.fed[-1] == InterruptCommand(request="br-7", n=1, reason="enough")
    assert (scene.slot.place, scene.slot.begun, scene.slot.waiting) == ("gtk-1", True, False)


def test_an_interrupted_command_has_its_time_by_the_masters_clock() -> None:
    """Then its step ends here."""
    scene = InUse()
    scene.amqp._commands["1"] = scene.running
    scene.command.args = {}  # type: ignore[attr-defined]
    scene.amqp.remoteInterruptCommand("b", "1", "enough")
    scene.master.reactor.advance(31)
    assert not scene.amqp.alive
    assert scene.told[-1] == "Done"


def test_output_is_stored_by_the_masters_clock() -> None:
    """A small piece waits a moment for more."""
    scene = InUse()
    session = scene.slot.session
    assert session is not None
    for seq in (1, 2):
        session.deliver(Event(session="s1", seq=seq, n=1, kind="stdout", data=b"x\n"))
    scene.master.reactor.advance(60)
    text = "".join(value for key, value in scene.command.updates if key == "stdout")
    assert text == "x\nx\n"


@pytest.mark.parametrize("early", [False, True])
def test_the_build_has_its_agents_capabilities_as_a_property(early: bool) -> None:
    """For its steps, and from whom."""
    scene = InUse(early=early)
    assert scene.build.properties.getProperty("capabilities") == {"gtk": "3.24", "wx": None}
    assert scene.build.properties.getPropertySource("capabilities") == "AMQP"


def test_an_agent_that_buildbot_does_not_take_is_freed() -> None:
    """And the log says why."""
    scene = Scene()
    scene.slot.begin()
    scene.master.workers.newConnection = lambda connection, name: defer.fail(OSError("planted"))
    with capture_logs() as log:
        scene.found()
    assert [entry["reason"] for entry in log if entry["event"] == "amqp.attach_failed"] == ["planted"]
    assert scene.told == ["Seek", "Done"]
    assert scene.worker.attached_to == []


# ---- where it runs, and how it is named


@pytest.mark.parametrize("folder", ["b", "a/b", "a" * 300])
def test_a_build_knows_the_folder_in_which_it_runs(folder: str) -> None:
    """Where the agent has another name for it, since one component of a path is all that is taken."""
    scene = InUse()
    scene.build.builder.config.workerbuilddir = folder
    scene.build._preparation_step = None
    scene.amqp.remoteStartBuild("b")
    properties = scene.build.properties
    if folder == "b":
        assert not properties.hasProperty("builddir")
    else:
        assert properties.getProperty("builddir") == f"/b/{component(folder)}"
        assert properties.getPropertySource("builddir") == "Worker"


class Step:
    """A preparation step."""

    stepid = 5

    def __init__(self) -> None:
        self.logs: list[tuple[str, str]] = []

    def addCompleteLog(self, name: str, said: str) -> defer.Deferred[None]:
        self.logs.append((name, said))
        return defer.succeed(None)


@pytest.mark.parametrize("adopted", [False, True])
def test_the_agent_is_named_when_the_build_starts_and_when_its_first_command_does(
    adopted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was asked for, and how long it took."""
    scene = Scene()
    scene.build._preparation_step = Step()
    scene.slot.begin()
    scene.slot._seeker.since = 1000.0
    monkeypatch.setattr(time, "time", lambda: 1075.0)
    scene.slot.attach(HAS, adopted)
    scene.slot.build_starts()
    how = "has run this since before the master's restart" if adopted else "waited 75 s for it"
    assert ("setStepStateString", 5, f"agent a1 with gtk 3.24; {how}") in scene.master.updates.made
    scene.slot.command_starts()
    assert ("setBuildStateString", 70, "building on a1") in scene.master.updates.made


def test_without_an_agent_nothing_is_named() -> None:
    """Buildbot may start a build on a connection that is lost just then."""
    scene = Scene()
    scene.slot.build_starts()
    scene.slot.command_starts()
    assert scene.master.updates.made == []
    assert scene.slot.session is None


def test_a_build_that_waits_says_the_bridges_state() -> None:
    """Once people are told at all."""
    scene = Scene()
    scene.build.prepared()
    scene.slot.begin()
    scene.slot.state_changed("granted")
    assert scene.slot.state == "granted"
    assert scene.master.updates.made == []
    scene.master.reactor.advance(QUIET)
    (text,) = [made[2] for made in scene.master.updates.made if made[0] == "setStepStateString"]
    assert text.endswith(": an agent is taking it")
    assert scene.master.updates.made[-1] == ("setBuildStateString", 70, text)
    scene.slot.state_changed("window")
    assert scene.master.updates.made[-1][2].endswith(": asking whether an agent has this build already")


def test_a_build_that_found_its_agent_meanwhile_keeps_buildbots_text() -> None:
    """Storing takes a moment."""
    scene = Scene()
    scene.build.prepared()
    scene.slot.begin()
    stored: list[defer.Deferred[None]] = []
    updates = Updates()

    def store(*_: Any) -> defer.Deferred[None]:
        stored.append(defer.Deferred())
        return stored[-1]

    updates.setStepStateString = store  # type: ignore[attr-defined]
    scene.master.data.updates = updates
    scene.master.reactor.advance(QUIET)
    scene.found()
    stored[0].callback(None)
    assert "setBuildStateString" not in updates.names()


# ---- it is lost


def test_a_lost_build_runs_again_and_says_so() -> None:
    """In the running command's log first, then in its own text; the bridge knows it already."""
    scene = InUse()
    scene.lose()
    assert scene.headers == ["\nit died; the build runs again\n"]
    assert not scene.amqp.alive
    assert scene.build.text == ["it died"]
    assert scene.told == ["Seek"]
    assert scene.slot.over


def test_a_build_that_finished_meanwhile_keeps_its_text() -> None:
    """Of its result."""
    scene = InUse()
    scene.build.finished = True
    scene.lose()
    assert scene.build.text == []


def test_a_build_that_waits_cannot_lose_anybody() -> None:
    """The bridge never says so."""
    scene = Scene()
    scene.slot.begin()
    scene.slot.lost("it died")
    assert scene.told == ["Seek"]
    assert not scene.slot.over


def test_an_early_agent_that_is_lost_frees_nothing() -> None:
    """Its session is over: the bridge is asked for another, and told nothing of the first."""
    scene = Scene()
    scene.found()
    session = scene.slot.session
    scene.slot.lost("it died")
    assert session is not None
    assert session.ended
    assert scene.told == ["Seek", "Seek"]


# ---- it fails


def test_a_given_up_build_fails_with_the_reason() -> None:
    """Its running command does; it is not sought for again."""
    scene = InUse()
    scene.slot.abandoned("5 agents were lost")
    assert scene.headers == ["\n5 agents were lost\n"]
    assert scene.command.completed == ["5 agents were lost"]
    assert scene.amqp.refusal == "5 agents were lost"
    assert scene.worker.failures == []


def test_a_given_up_build_that_waits_cannot_be_substantiated() -> None:
    """Buildbot hears of which worker, and why, once."""
    scene = Scene()
    scene.slot.begin()
    scene.slot.abandoned("5 agents were lost")
    scene.slot.abandoned("5 agents were lost")
    (failure,) = scene.worker.failures
    assert failure.type is LatentWorkerCannotSubstantiate
    assert failure.value.args == ("gtk-1", "5 agents were lost")
    assert scene.slot.over


def test_a_build_whose_machine_failed_runs_elsewhere() -> None:
    """That is not the command's result; the session is given back."""
    scene = InUse()
    scene.slot.infrastructure_failed(scene.running, "disk full")
    assert scene.failures == ["br-7"]
    assert not scene.amqp.alive
    assert scene.told == ["Seek", "Done"]
    assert scene.build.text == ["disk full"]
    assert scene.amqp.refusal is None


def test_machines_do_not_fail_for_ever() -> None:
    """After so many the build itself is what is wrong."""
    scene = InUse()
    scene.failures = ["br-7"] * (LIVES - 1)
    scene.slot.infrastructure_failed(scene.running, "disk full")
    reason = f"disk full; it is failure number {LIVES} of this kind, so the build is given up"
    assert scene.command.completed == [reason]
    assert scene.amqp.alive


# ---- what it is asked


def test_room_on_the_masters_disk_is_the_brokers() -> None:
    """A build gives its agent back after a while."""
    scene = Scene()
    short = object()
    scene.broker.room.shortage = lambda: short
    assert scene.slot.shortage() is short


@pytest.mark.parametrize(("down", "running", "stops"), [(False, True, False), (True, True, True), (False, False, True)])
def test_a_master_stops_when_it_says_so_or_does_not_run(down: bool, running: bool, stops: bool) -> None:
    """Then less time is left."""
    scene = Scene()
    scene.master.botmaster.shuttingDown, scene.master.running = down, running
    assert scene.slot.is_stopping() is stops


# ---- before Buildbot asked


class Early:
    """A build's early search, whose slots are a scene's."""

    def __init__(self) -> None:
        self.build = FakeBuild()
        self.scene: Scene | None = None
        self.asked = 0
        self.reactor = Clock()
        self.search = EarlySearch(self.build, self.reactor, self._slot_of)

    def numbered(self) -> None:
        self.build.numbered()
        self.reactor.advance(1.0)

    def _slot_of(self, build: Any) -> Slot | None:
        assert build is self.build
        self.asked += 1
        self.scene = Scene(self.build)
        return self.scene.slot


def test_a_configuration_that_changes_meanwhile_is_followed() -> None:
    """With what is sealed; before there is a slot there is nothing to move."""
    early = Early()
    early.search.reroute(GTK, True)
    early.numbered()
    assert early.scene is not None
    early.search.reroute(GTK, True)
    assert early.scene.slot._seeker.seal
    early.search.reroute(GTK)
    assert not early.scene.slot._seeker.seal


def test_what_was_taken_is_not_sought_when_the_number_comes_late() -> None:
    """Buildbot asked for an agent by then."""
    early = Early()
    assert early.search.take(early.build) is None
    early.numbered()
    assert early.asked == 0
