"""A step's own unit of work: it is offered, found, stopped, lost, given back and left, each said once and in order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from buildbot.locks import LockAccess, WorkerLock
from buildbot.process.results import RETRY
from structlog.testing import capture_logs
from twisted.internet import defer, error
from twisted.python.failure import Failure

from contracts.messages import AgentLock, Event
from contracts.timing import LIVES
from master_bridge.buildbot.search.preference import Wanted, preference
from master_bridge.buildbot.search.step_connection import StepConnection
from master_bridge.buildbot.sessions.connection import DEADLINE, DEADLINE_STOPPING
from master_bridge.buildbot.worker_settings import NOTICE_MINUTES
from master_bridge.core.inputs import InterruptCommand, Reroute, Seek
from tests.unit.bridge_edge.building import GTK, HOLDER, FakeBroker, FakeBuild, FakeWorker, Scenery
from tests.unit.bridge_edge.test_session import FakeCommand


class StepCommand(FakeCommand):
    """As much of a RemoteCommand as a step's connection touches, too."""

    def __init__(self, **args: Any) -> None:
        super().__init__()
        self.args = args
        self.interrupted = False
        self.ended_by: list[Failure] = []

    def interrupt(self, why: Failure) -> defer.Deferred[None]:
        self.ended_by.append(why)
        self.active = False
        return defer.succeed(None)


class Scene(Scenery):
    """A step of a build that runs elsewhere."""

    def __init__(self, *, part: int | None = None, work_name: str | None = None, prefers: tuple[str, ...] = ()) -> None:
        self.master: Any = FakeWorker().master
        self.broker = FakeBroker()
        self.build = FakeBuild()
        self.build.numbered()
        self.rows: list[Any] = [{"buildid": 70}]
        self.master.data.get = lambda path: defer.succeed(self.rows if path[0] == "buildrequests" else None)
        self.step: Any = SimpleNamespace(
            master=self.master, build=self.build, name="compile", number=3, work_name=work_name, stepid=33,
            waiting_text=None, locks=[], holders=[],
        )  # fmt: skip
        self.step.agent_found = self.step.holders.append
        self.infrastructure_failures: list[str] = []
        self.broker.count_infrastructure_failure = self._count  # type: ignore[attr-defined]
        wanted = Wanted(requirements=GTK, preference=preference(["gtk"], prefers, 20.0), fencing=60.0)
        self.connection = StepConnection(broker=self.broker, step=self.step, wanted=wanted, part=part)
        self.command = StepCommand()
        self.errors: list[Failure] = []

    def _count(self, request: str) -> int:
        self.infrastructure_failures.append(request)
        return len(self.infrastructure_failures)

    def start(self, **args: Any) -> StepCommand:
        """Buildbot's remote command, in its hands."""
        self.command.args.update(args)
        values = {"command": ["make"], "workdir": "build", **args}
        begun = self.connection.remoteStartCommand(self.command, "b", "1", "shell", values)
        begun.addErrback(self.errors.append)
        return self.command

    def found(self) -> None:
        self.connection.attach(HOLDER, False)

    @property
    def seek(self) -> Seek:
        """What was asked for last."""
        return [event for event in self.bridge.fed if isinstance(event, Seek)][-1]

    @property
    def said(self) -> list[str]:
        """The step's texts."""
        return [made[2] for made in self.master.updates.made if made[0] == "setStepStateString"]

    @property
    def headers(self) -> list[str]:
        return [value for key, value in self.command.updates if key == "header"]


# ---- the offer


def test_the_offer_carries_the_command() -> None:
    """It is the unit of work: with what the step is called, and where a build would have its folder."""
    scene = Scene()
    scene.step.locks = [LockAccess(WorkerLock("disk", maxCount=2), "counting", 1)]
    scene.build.requests[0].priority = 5
    scene.start()
    seek = scene.seek
    assert (seek.request, seek.run, seek.kind, seek.signature) == ("br-7/step-3", 70, "command", "gtk")
    assert (seek.title, seek.step, seek.builder, seek.build_number) == ("b #70: compile", "compile", "b", 70)
    assert (seek.builddir, seek.priority, seek.fencing, seek.seal, seek.repeated) == ("b", 5, 60.0, False, False)
    assert seek.locks == (AgentLock(name="disk", capacity=2),)
    (command,) = seek.commands
    assert (command.name, command.args, command.step) == (
        "shell",
        {"command": ["make"], "workdir": "build"},
        "compile",
    )
    assert scene.bridge.clients == {"br-7/step-3": scene.connection}
    assert (scene.connection.signature, scene.connection.over) == ("gtk", False)


@pytest.mark.parametrize(
    ("fields", "request_key", "title"),
    [
        ({"part": 4}, "br-7/step-3/shard-4", "b #70: compile, shard 4"),
        ({"part": 0}, "br-7/step-3/shard-0", "b #70: compile, shard 0"),
        ({"work_name": "7.12"}, "br-7/step-7.12", "b #70: compile"),
    ],
)
def test_what_starts_in_any_order_has_a_key_of_its_own(fields: Any, request_key: str, title: str) -> None:
    """A shard of a battery, a step of a pipeline."""
    scene = Scene(**fields)
    scene.start()
    assert (scene.seek.request, scene.seek.title) == (request_key, title)


def test_an_agent_asks_first_where_the_command_may_have_run_before() -> None:
    """An earlier build of the request, or a second queue to which the offer may move."""
    scene = Scene()
    scene.rows = [{"buildid": 70}, {"buildid": 69}]
    scene.start()
    assert scene.seek.repeated
    preferring = Scene(prefers=("warm",))
    preferring.start()
    assert preferring.seek.repeated
    assert preferring.seek.signature == "gtk+warm"


def test_a_command_that_ended_while_the_database_was_asked_is_not_offered() -> None:
    """Nobody would take its result."""
    scene = Scene()
    answer: defer.Deferred[Any] = defer.Deferred()
    scene.master.data.get = lambda path: answer
    scene.start()
    scene.command.active = False
    answer.callback([])
    assert scene.told == []


def test_a_step_that_was_left_while_the_database_was_asked_is_not_offered() -> None:
    """Likewise."""
    scene = Scene()
    answer: defer.Deferred[Any] = defer.Deferred()
    scene.master.data.get = lambda path: answer
    scene.start()
    scene.connection.leave()
    answer.callback([])
    assert scene.told == []
    assert scene.connection.over


# ---- what people read


def test_the_step_tells_what_it_waits_for_until_an_agent_has_come() -> None:
    """In its text and, for its summary, in itself."""
    scene = Scene()
    scene.start()
    assert len(scene.said) == 1
    assert scene.said[0].startswith("waits for an agent with gtk since ")
    assert scene.step.waiting_text == scene.said[0]
    scene.connection.state_changed("granted")
    assert scene.said[-1].endswith(": an agent is taking it")
    scene.found()
    scene.connection.state_changed("window")
    assert len(scene.said) == 2


def test_a_step_without_a_row_has_no_text() -> None:
    """Buildbot makes it in a moment."""
    scene = Scene()
    scene.step.stepid = None
    scene.start()
    assert scene.said == []
    assert scene.step.waiting_text is None


def test_waiting_in_vain_is_worth_a_warning_after_a_while() -> None:
    """As long as nobody has come."""
    scene = Scene()
    scene.start()
    assert scene.connection.notice_due() == scene.connection._seeker.since + NOTICE_MINUTES * 60
    with capture_logs() as log:
        scene.connection.send_notice("no agent offers gtk")
    assert [(entry["needs"], entry["detail"]) for entry in log] == [("gtk", "no agent offers gtk")]
    scene.found()
    assert scene.connection.notice_due() is None


# ---- found


def test_an_agent_that_comes_runs_the_command() -> None:
    """The step learns of it, the session's first events are the command's."""
    scene = Scene()
    scene.start()
    scene.found()
    session = scene.connection.session
    assert session is not None
    assert session.holder is HOLDER
    assert session.current is not None
    assert (session.current.command, session.current.n) == (scene.command, 1)
    assert scene.step.holders == [HOLDER]
    assert scene.told == ["Seek"]
    session.interrupt(session.current, "enough")
    assert scene.bridge.fed[-1] == InterruptCommand(request="br-7/step-3", n=1, reason="enough")


def test_an_agent_that_comes_too_late_is_nobodys() -> None:
    """The step is over."""
    scene = Scene()
    scene.start()
    scene.connection.leave()
    scene.found()
    assert scene.connection.session is None
    assert scene.step.holders == []


def test_room_on_the_masters_disk_is_the_brokers() -> None:
    """A step waits for it as long as it takes: its build goes on meanwhile."""
    scene = Scene()
    short = object()
    scene.broker.room.shortage = lambda: short
    assert scene.connection.shortage() is short
    assert scene.connection.patience is None


# ---- its end


def test_a_step_that_ends_frees_its_agent() -> None:
    """Once, whoever leaves it how often."""
    scene = Scene()
    scene.start()
    scene.found()
    session = scene.connection.session
    scene.connection.leave()
    scene.connection.leave()
    assert scene.told == ["Seek", "Done"]
    assert session is not None
    assert session.ended
    assert scene.connection.over


def test_a_step_that_ends_before_withdraws_its_offer() -> None:
    """Nobody has it."""
    scene = Scene()
    scene.start()
    scene.connection.leave()
    assert scene.told == ["Seek", "Withdraw"]


def test_a_quick_stop_keeps_the_command_for_the_next_start() -> None:
    """Its interrupt loses the connection, so that the build is RETRY."""
    scene = Scene()
    scene.start()
    scene.found()
    scene.master.stop_quickly()
    assert scene.connection.keeps()
    scene.connection.quick_stop()
    scene.connection.remoteInterruptCommand("b", "1", "shutdown")
    assert scene.told == ["Seek", "Keep"]
    assert [why.type for why in scene.command.ended_by] == [error.ConnectionLost]
    assert scene.connection.over


@pytest.mark.parametrize(("finished", "results", "keeps"), [(True, 0, False), (True, RETRY, True), (False, None, True)])
def test_only_what_comes_again_is_kept(finished: bool, results: Any, keeps: bool) -> None:
    """A build that has its result does not."""
    scene = Scene()
    scene.start()
    scene.build.finished, scene.build.results = finished, results
    assert not scene.connection.keeps()
    scene.master.stop_quickly()
    assert scene.connection.keeps() is keeps


# ---- stopped by people


def test_a_stop_before_an_agent_has_come_ends_the_step_here() -> None:
    """With the status of a killed process, and a line that says why."""
    scene = Scene()
    scene.start()
    scene.connection.remoteInterruptCommand("b", "1", "enough")
    assert scene.command.updates == [("header", "\nstopped while it waited for an agent\n"), ("rc", -1)]
    assert scene.command.completed == [None]
    assert [event for event in scene.bridge.fed if isinstance(event, InterruptCommand)] == []


@pytest.mark.parametrize("moment", ["before its command", "when it is over"])
def test_a_stop_of_what_does_not_run_is_nothing(moment: str) -> None:
    """Buildbot asks whoever has a connection."""
    scene = Scene()
    if moment == "when it is over":
        scene.start()
        scene.connection.leave()
    assert scene.connection.remoteInterruptCommand("b", "1", "enough").called
    assert scene.command.updates == []
    assert scene.command.completed == []


@pytest.mark.parametrize(
    ("stopping", "args", "seconds"),
    [
        (False, {}, DEADLINE),
        (False, {"sigtermTime": 7}, DEADLINE + 7),
        (False, {"sigtermTime": None}, DEADLINE),
        (True, {"sigtermTime": 7}, DEADLINE_STOPPING),
    ],
)
def test_a_stop_waits_for_the_agent_a_while(stopping: bool, args: dict[str, Any], seconds: float) -> None:
    """As long as its processes have to go; a clean stop of the master waits less. Then the step ends all the same."""
    scene = Scene()
    scene.start(**args)
    scene.found()
    scene.master.botmaster.shuttingDown = stopping
    scene.connection.remoteInterruptCommand("b", "1", "enough")
    assert scene.bridge.fed[-1] == InterruptCommand(request="br-7/step-3", n=1, reason="enough")
    scene.master.reactor.advance(seconds - 0.1)
    assert scene.command.completed == []
    scene.master.reactor.advance(0.2)
    assert scene.headers == ["\nthe agent has not confirmed the end of the command; it kills it when it hears of it\n"]
    assert scene.command.updates[-1] == ("rc", -1)
    assert scene.command.completed == [None]


def test_an_agent_that_answers_is_not_given_up() -> None:
    """Whether its step has left it already, or is about to."""
    scene = Scene()
    scene.start()
    scene.found()
    scene.connection.remoteInterruptCommand("b", "1", "enough")
    scene.command.remote_complete(None)
    scene.master.reactor.advance(DEADLINE)
    assert scene.command.completed == [None]
    left = Scene()
    left.start()
    left.found()
    left.connection.remoteInterruptCommand("b", "1", "enough")
    left.connection.leave()
    assert left.master.reactor.getDelayedCalls() == []


# ---- lost


def test_a_lost_command_runs_again_elsewhere() -> None:
    """Its log says so; the next agent asks before it starts it; what was preferred is not waited for again."""
    scene = Scene(prefers=("warm",))
    scene.start()
    scene.found()
    session = scene.connection.session
    assert session is not None
    since = scene.connection._seeker.since = 0.0
    scene.connection.lost("it died")
    assert session.ended
    assert scene.headers == ["\nit died; the command runs again elsewhere\n"]
    assert scene.told == ["Seek", "Seek"]
    assert scene.seek.repeated
    assert scene.seek.signature == "gtk"
    assert scene.connection.session is None
    assert scene.connection._seeker.since > since
    scene.found()
    assert scene.connection.session is not session
    assert scene.step.holders == [HOLDER, HOLDER]


def test_a_command_that_is_lost_while_it_is_stopped_ends_here() -> None:
    """It is not to run again."""
    scene = Scene()
    scene.start()
    scene.found()
    scene.command.interrupted = True
    scene.connection.lost("it died")
    assert scene.told == ["Seek"]
    assert scene.headers[-1] == "\nits agent was lost while it was stopped\n"
    assert scene.command.updates[-1] == ("rc", -1)
    assert scene.command.completed == [None]


def test_what_is_over_cannot_be_lost() -> None:
    """Nor given up."""
    scene = Scene()
    scene.start()
    scene.found()
    scene.connection.leave()
    scene.connection.lost("it died")
    scene.connection.abandoned("5 agents were lost")
    assert scene.told == ["Seek", "Done"]
    assert scene.headers == []
    assert scene.command.completed == []


def test_a_log_that_cannot_be_written_ends_the_step() -> None:
    """With the reason, and not in silence."""
    scene = Scene()
    scene.start()
    scene.found()
    scene.command.error = OSError("locked")
    scene.connection.lost("it died")
    (failure,) = scene.command.completed
    assert failure.getErrorMessage() == "locked"


def test_a_given_up_request_ends_the_step() -> None:
    """The bridge says why, and is told nothing more."""
    scene = Scene()
    scene.start()
    scene.connection.abandoned("5 agents were lost")
    assert scene.command.completed == ["5 agents were lost"]
    assert scene.told == ["Seek"]
    assert scene.connection.over


def test_what_was_given_up_before_there_was_a_command_is_nobodys() -> None:
    """Buildbot has asked for nothing yet."""
    scene = Scene()
    scene.connection.abandoned("5 agents were lost")
    scene.connection._failed(Failure(OSError("locked")))
    assert (scene.command.completed, scene.told) == ([], [])


def test_a_build_that_was_cancelled_earlier_is_stopped() -> None:
    """By a master that did not come to it."""
    scene = Scene()
    stopped: list[str] = []
    scene.build.stopBuild = stopped.append  # type: ignore[method-assign, assignment]
    scene.connection.cancelled_earlier("cancelled")
    assert stopped == ["cancelled"]


# ---- the machine fails


def test_output_is_stored_by_the_masters_clock_and_a_machines_failure_is_the_steps() -> None:
    """Its session has both from it."""
    scene = Scene()
    scene.start()
    scene.found()
    session = scene.connection.session
    assert session is not None
    session.deliver(Event(session="s1", seq=1, n=1, kind="stdout", data=b"one line\n"))
    scene.master.reactor.advance(10.0)
    assert ("stdout", "one line\n") in scene.command.updates
    session.deliver(Event(session="s1", seq=2, n=1, kind="completed", infrastructure="disk full"))
    assert scene.infrastructure_failures == ["br-7/step-3"]
    assert scene.told[-1] == "Seek"


def test_a_log_that_cannot_be_written_then_ends_the_step_as_well() -> None:
    """Not in silence."""
    scene = Scene()
    scene.start()
    scene.found()
    scene.command.error = OSError("locked")
    session = scene.connection.session
    assert session is not None
    assert session.current is not None
    scene.connection.infrastructure_failed(session.current, "disk full")
    (failure,) = scene.command.completed
    assert failure.getErrorMessage() == "locked"


def test_a_machine_that_failed_gives_the_command_to_another() -> None:
    """Its session is over, a new offer goes out; the next agent asks first."""
    scene = Scene()
    scene.start()
    scene.found()
    session = scene.connection.session
    assert session is not None
    assert session.current is not None
    scene.connection.infrastructure_failed(session.current, "disk full")
    assert scene.infrastructure_failures == ["br-7/step-3"]
    assert scene.told == ["Seek", "Done", "Seek"]
    assert scene.headers == ["\ndisk full; the command runs again elsewhere\n"]
    assert scene.seek.repeated
    assert session.ended


def test_machines_do_not_fail_for_ever() -> None:
    """After so many the command is what is wrong."""
    scene = Scene()
    scene.start()
    for _ in range(LIVES):
        scene.found()
        session = scene.connection.session
        assert session is not None
        assert session.current is not None
        scene.connection.infrastructure_failed(session.current, "disk full")
    assert scene.command.completed == [f"disk full; it is failure number {LIVES} of this kind, so the step is given up"]
    assert scene.told == ["Seek", *["Done", "Seek"] * (LIVES - 1)]


def test_a_step_is_not_moved_by_its_workers_configuration() -> None:
    """It names none."""
    scene = Scene()
    scene.start()
    assert not [event for event in scene.bridge.fed if isinstance(event, Reroute)]
