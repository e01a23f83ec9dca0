"""A session's events on their way to Buildbot: order, pieces, what is said to be stored, failures."""

from __future__ import annotations

from typing import Any

from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.messages import Data, Event, WorkerInfo
from master_bridge.buildbot.output.logs import HOLD, INTERVAL, PIECE
from master_bridge.buildbot.output.room import LOOK_EVERY, Shortage
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.buildbot.sessions.session import BuildSession
from master_bridge.core.actions import Holder
from master_bridge.core.inputs import EventStored, Input, InterruptCommand


class FakeBridge:
    incarnation = "i1"

    def __init__(self) -> None:
        self.fed: list[Input] = []

    def feed(self, event: Input) -> None:
        self.fed.append(event)

    def send(self, message: Data, address: str, terms: object) -> None:
        raise AssertionError("nothing is downloaded here")

    @property
    def stored(self) -> list[int]:
        return [event.seq for event in self.fed if isinstance(event, EventStored)]


class FakeCommand:
    """As much of Buildbot's RemoteCommand as events touch. Updates wait until `release` while `held`."""

    ignore_updates = False
    worker = None

    def __init__(self) -> None:
        self.active = True
        self.updates: list[tuple[str, Any]] = []
        self.completed: list[Any] = []
        self.held = False
        self.error: Exception | None = None
        self._waiting: list[defer.Deferred[None]] = []

    def remoteUpdate(self, key: str, value: Any, is_flushed: bool) -> defer.Deferred[None]:
        if self.error is not None:
            return defer.fail(self.error)
        self.updates.append((key, value))
        result: defer.Deferred[None] = defer.Deferred()
        if self.held:
            self._waiting.append(result)
        else:
            result.callback(None)
        return result

    def release(self) -> None:
        self.held = False
        waiting, self._waiting = self._waiting, []
        for result in waiting:
            result.callback(None)

    def remote_complete(self, failure: Any) -> None:
        self.active = False
        self.completed.append(failure)


class FakeOwner:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.patience: float | None = 30.0
        self.short: Shortage | None = None

    def shortage(self) -> Shortage | None:
        return self.short

    def infrastructure_failed(self, running: RunningCommand, reason: str) -> None:
        self.reasons.append(reason)


class World:
    """One session with one running command."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bridge = FakeBridge()
        self.owner = FakeOwner()
        self.command = FakeCommand()
        self.session = BuildSession(
            reactor=self.clock,
            bridge=self.bridge,
            request="br-1",
            holder=Holder(
                session="s1",
                agent="a1",
                instance="i",
                address="agent.u.i.n",
                capabilities=(),
                worker=WorkerInfo(version="1", basedir="/b"),
            ),
            owner=self.owner,
        )
        self.running = self.session.follow(self.command)
        self._seq = 0

    def deliver(self, kind: Any, value: Any = None, data: bytes = b"", **more: Any) -> int:
        self._seq += 1
        self.session.deliver(Event(session="s1", seq=self._seq, n=1, kind=kind, value=value, data=data, **more))
        return self._seq

    def pass_time(self) -> None:
        self.clock.advance(INTERVAL)


def test_the_first_line_waits_for_a_quick_end_only() -> None:
    """Output after a pause is stored as soon as its command might have ended with it; what follows is collected."""
    world = World()
    world.clock.advance(10)
    world.deliver("stdout", data=b"one\n")
    assert world.bridge.stored == []
    world.clock.advance(HOLD)
    assert world.command.updates == [("stdout", "one\n")]
    world.deliver("stdout", data=b"two\n")
    world.deliver("stdout", data=b"three\n")
    world.clock.advance(HOLD)
    assert len(world.command.updates) == 1
    assert world.bridge.stored == [1]
    world.pass_time()
    assert world.command.updates[1:] == [("stdout", "two\nthree\n")]
    assert world.bridge.stored == [1, 3]


def test_the_first_line_does_not_wait_longer_for_its_header_that_was_stored() -> None:
    """A command that takes a moment until it prints: people wait for what it prints, not for what the worker says."""
    world = World()
    world.clock.advance(10)
    world.deliver("header", data=b"sh -c ...\n")
    world.clock.advance(HOLD)
    world.deliver("stdout", data=b"one\n")
    world.clock.advance(HOLD)
    assert world.command.updates == [("header", "sh -c ...\n"), ("stdout", "one\n")]
    world.deliver("stdout", data=b"two\n")
    world.clock.advance(HOLD)
    assert len(world.command.updates) == 2, "what follows is collected"


def test_the_first_line_of_the_next_command_does_not_wait_longer() -> None:
    """Right after another command's output: each command's first line is worth an update of its own."""
    world = World()
    world.clock.advance(10)
    world.deliver("stdout", data=b"one\n")
    world.deliver("completed")
    world.command.active = True
    world.session.follow(world.command)
    world.session.deliver(Event(session="s1", seq=3, n=2, kind="header", data=b"true\n"))
    world.clock.advance(HOLD)
    assert world.command.updates == [("stdout", "one\n"), ("header", "true\n")]
    assert world.bridge.stored == [2, 3]


class BuildbotsCommand(RemoteCommand):
    """Buildbot's own, with a log that notes its appends."""

    def __init__(self) -> None:
        super().__init__("shell", {})
        self.appends: list[tuple[str, str]] = []
        self.active = True
        self.completed: list[Any] = []
        self.logs["stdio"] = self

    def add_header_lines(self, text: str) -> defer.Deferred[None]:
        self.appends.append(("h", text))
        return defer.succeed(None)

    def add_stdout_lines(self, text: str, is_flushed: bool = False) -> defer.Deferred[None]:
        self.appends.append(("o", text))
        return defer.succeed(None)

    def remote_complete(self, failure: Any = None) -> None:
        self.completed.append(failure)


SHORT_STEP = [
    ("header", None, b"true\n in dir /b\n"),
    ("stdout", None, b"no line end"),
    ("update", ["rc", 3], b""),
    ("header", None, b"elapsedTime=0.001\n"),
    ("update", ["elapsed", 0.001], b""),
    ("completed", None, b""),
]


def test_a_short_step_is_stored_at_once_as_buildbot_would() -> None:
    """Start, output and end of a short command: the lines of Buildbot's own handling, in as few updates as there
    are changes of stream."""
    world = World()
    world.clock.advance(10)
    ours, theirs = BuildbotsCommand(), BuildbotsCommand()
    world.session.follow(ours)
    for seq, (kind, value, data) in enumerate(SHORT_STEP, start=1):
        world.session.deliver(Event(session="s1", seq=seq, n=2, kind=kind, value=value, data=data))
        assert world.bridge.stored == ([] if seq < len(SHORT_STEP) else [len(SHORT_STEP)])
    theirs.remoteUpdate("header", "true\n in dir /b\n", False)
    theirs.remoteUpdate("stdout", "no line end\n", False)
    theirs.remoteUpdate("rc", 3, False)
    theirs.remoteUpdate("header", "elapsedTime=0.001\n", False)
    theirs.remoteUpdate("elapsed", 0.001, False)
    lines = [(stream, line) for stream, text in theirs.appends for line in text.splitlines()]
    assert [(stream, line) for stream, text in ours.appends for line in text.splitlines()] == lines
    assert [stream for stream, _ in ours.appends] == ["h", "o", "h"]
    assert ours.rc == theirs.rc == 3
    assert ours.updates == theirs.updates
    assert ours.completed == [None]


def test_a_command_that_handles_rc_itself_gets_it() -> None:
    """A subclass that overrides Buildbot's `remoteUpdate` is told every update, as ever."""
    told: list[tuple[str, Any]] = []

    class Own(BuildbotsCommand):
        def remoteUpdate(self, key: str, value: Any, is_flushed: bool) -> defer.Deferred[None]:
            told.append((key, value))
            return defer.succeed(None)

    world = World()
    world.session.follow(Own())
    for seq, (kind, value, data) in enumerate(SHORT_STEP, start=1):
        world.session.deliver(Event(session="s1", seq=seq, n=2, kind=kind, value=value, data=data))
    assert [key for key, _ in told] == ["header", "stdout", "rc", "header", "elapsed"]


def test_output_goes_in_large_pieces() -> None:
    """While one piece is stored the next is collected; 1 MiB goes at once; nothing is said stored before it is."""
    world = World()
    world.clock.advance(10)
    world.command.held = True
    world.deliver("stdout", data=b"first\n")
    world.clock.advance(HOLD)
    line = b"x" * 1023 + b"\n"
    for _ in range(8):
        world.deliver("stdout", data=line * 256)
    assert world.bridge.stored == []
    world.command.release()
    world.pass_time()
    sizes = [len(text) for _key, text in world.command.updates]
    assert sizes == [6, PIECE, PIECE]
    assert world.bridge.stored == [1, 5, 9]


def test_streams_keep_their_order() -> None:
    """stdout and stderr in the order written; a character cut in two by an event is whole; log files apart."""
    world = World()
    world.deliver("stdout", data=b"o1\n\xe2\x82")
    world.deliver("stderr", data=b"e1\n")
    world.deliver("stdout", data=b"\xac\xff\n")
    world.deliver("log", "extra", b"l1\n")
    world.pass_time()
    assert world.command.updates == [
        ("stdout", "o1\n"),
        ("stderr", "e1\n"),
        ("stdout", "\u20ac\ufffd\n"),
        ("log", ("extra", "l1\n")),
    ]


def test_the_last_line_comes_before_the_exit_code() -> None:
    """A last line without a line end is flushed before `rc`; completion comes last and says all is stored."""
    world = World()
    world.deliver("stdout", data=b"last")
    world.deliver("update", ["rc", 0])
    world.deliver("completed")
    assert world.command.updates == [("stdout", "last\n"), ("rc", 0)]
    assert world.command.completed == [None]
    assert world.bridge.stored[-1] == 3


def test_an_error_in_storing_fails_the_command() -> None:
    """The database is ill: the command fails with that error, is interrupted on its agent, and blocks nothing."""
    world = World()
    world.clock.advance(10)
    world.command.error = RuntimeError("database disk image is malformed")
    world.deliver("stdout", data=b"x\n")
    world.clock.advance(HOLD)
    assert "malformed" in str(world.command.completed[0].value)
    assert any(isinstance(event, InterruptCommand) for event in world.bridge.fed)
    world.deliver("stdout", data=b"y\n")
    world.deliver("completed")
    assert world.bridge.stored[-1] == 3
    assert len(world.command.completed) == 1


def test_what_the_machine_did_is_not_the_commands_result() -> None:
    """An infrastructure failure goes to the owner with its reason in the log, not to Buildbot as completion."""
    world = World()
    world.deliver("update", ["rc", -1])
    world.deliver("completed", infrastructure="disk full")
    assert world.owner.reasons == ["disk full"]
    assert world.command.completed == []
    assert ("header", "\na1: disk full\n") in world.command.updates


def test_nothing_after_the_end() -> None:
    """After `end` no event reaches Buildbot and nothing is said to be stored."""
    world = World()
    world.deliver("stdout", data=b"x\n")
    world.session.end()
    stored = list(world.bridge.stored)
    world.deliver("stdout", data=b"y\n")
    world.pass_time()
    assert world.bridge.stored == stored
    assert world.clock.getDelayedCalls() == []


FULL = Shortage(text="master: disk full: 0 MiB left on the file system of /m", writable=False)
LOW = Shortage(text="master: disk full: 20 MiB left on the file system of /m", writable=True)


def look_again(world: World, seconds: float) -> None:
    for _ in range(int(seconds / LOOK_EVERY)):
        world.clock.advance(LOOK_EVERY)


def test_output_waits_for_room_on_the_masters_disk() -> None:
    """Nothing is stored, or said to be, until there is room again; then all of it, in order."""
    world = World()
    world.owner.short = FULL
    world.deliver("stdout", data=b"one\n")
    world.deliver("stdout", data=b"two\n")
    world.deliver("completed")
    look_again(world, 600)
    assert world.command.updates == []
    assert world.bridge.stored == []
    assert world.owner.reasons == [], "nobody could write down how the build ends"
    world.owner.short = None
    look_again(world, 2)
    assert "".join(text for _, text in world.command.updates) == "one\ntwo\n"
    assert world.command.completed == [None]
    assert world.bridge.stored[-1] == 3


def test_a_build_does_not_wait_for_room_for_ever() -> None:
    """With room left for writing down its end, it is given up after its patience, and says why."""
    world = World()
    world.owner.short = LOW
    world.deliver("stdout", data=b"one\n")
    look_again(world, 29)
    assert world.owner.reasons == []
    look_again(world, 3)
    assert world.owner.reasons == [LOW.text]
    assert world.command.updates[-1] == ("header", f"\n{LOW.text}\n")
    assert world.command.completed == []


def test_a_step_of_its_own_waits_for_room_for_as_long_as_it_takes() -> None:
    """Its build cannot be repeated for it, and its command would meet the same disk again."""
    world = World()
    world.owner.patience, world.owner.short = None, LOW
    world.deliver("stdout", data=b"one\n")
    look_again(world, 3600)
    assert world.owner.reasons == []
    world.owner.short = None
    look_again(world, 2)
    assert world.command.updates == [("stdout", "one\n")]


def test_what_has_ended_may_end_on_a_nearly_full_disk() -> None:
    """The reserve is for that."""
    world = World()
    world.owner.short = LOW
    world.deliver("update", ["rc", 0])
    world.deliver("completed")
    assert world.command.completed == [None]


def test_a_full_database_is_not_the_commands_failure() -> None:
    """A write failed for want of room: its log misses a piece, so the build runs again; it says why when it can."""
    world = World()
    world.clock.advance(10)
    world.command.error = OSError(28, "No space left on device")
    world.deliver("stdout", data=b"x\n")
    look_again(world, 1)
    assert len(world.owner.reasons) == 1
    assert "No space left on device" in world.owner.reasons[0]
    assert world.command.completed == []
