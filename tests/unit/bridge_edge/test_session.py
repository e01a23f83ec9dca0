"""A session's events on their way to Buildbot: order, pieces, what is said to be stored, failures."""

from __future__ import annotations

from typing import Any

from twisted.internet import defer
from twisted.internet.task import Clock

from contracts.messages import Data, Event, WorkerInfo
from master_bridge.buildbot.logs import INTERVAL, PIECE
from master_bridge.buildbot.running import RunningCommand
from master_bridge.buildbot.session import Session
from master_bridge.core.actions import Holder
from master_bridge.core.inputs import EventStored, Input, InterruptCommand


class FakeBridge:
    incarnation = "i1"

    def __init__(self) -> None:
        self.fed: list[Input] = []

    def feed(self, event: Input) -> None:
        self.fed.append(event)

    def send(self, message: Data, address: str) -> None:
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

    def infrastructure_failed(self, running: RunningCommand, reason: str) -> None:
        self.reasons.append(reason)


class World:
    """One session with one running command."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bridge = FakeBridge()
        self.owner = FakeOwner()
        self.command = FakeCommand()
        self.session = Session(
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
        self.running = self.session.follow(self.command)  # type: ignore[arg-type]
        self._seq = 0

    def deliver(self, kind: Any, value: Any = None, data: bytes = b"", **more: Any) -> int:
        self._seq += 1
        self.session.deliver(Event(session="s1", seq=self._seq, n=1, kind=kind, value=value, data=data, **more))
        return self._seq

    def pass_time(self) -> None:
        self.clock.advance(INTERVAL)


def test_the_first_line_does_not_wait() -> None:
    """Output after a pause is stored at once, what follows closely is collected."""
    world = World()
    world.clock.advance(10)
    world.deliver("stdout", data=b"one\n")
    assert world.command.updates == [("stdout", "one\n")]
    world.deliver("stdout", data=b"two\n")
    world.deliver("stdout", data=b"three\n")
    assert len(world.command.updates) == 1
    assert world.bridge.stored == [1]
    world.pass_time()
    assert world.command.updates[1:] == [("stdout", "two\nthree\n")]
    assert world.bridge.stored == [1, 3]


def test_the_first_line_of_the_next_command_does_not_wait_either() -> None:
    """Right after another command's output: a step that runs `true` has its header stored while it runs."""
    world = World()
    world.clock.advance(10)
    world.deliver("stdout", data=b"one\n")
    world.deliver("completed")
    world.command.active = True
    world.session.follow(world.command)  # type: ignore[arg-type]
    world.session.deliver(Event(session="s1", seq=3, n=2, kind="header", data=b"true\n"))
    assert world.command.updates == [("stdout", "one\n"), ("header", "true\n")]
    assert world.bridge.stored == [1, 2, 3]


def test_output_goes_in_large_pieces() -> None:
    """While one piece is stored the next is collected; 1 MiB goes at once; nothing is said stored before it is."""
    world = World()
    world.clock.advance(10)
    world.command.held = True
    world.deliver("stdout", data=b"first\n")
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
    """The database is full: the command fails with that error, is interrupted on its agent, and blocks nothing."""
    world = World()
    world.clock.advance(10)
    world.command.error = OSError(28, "No space left on device")
    world.deliver("stdout", data=b"x\n")
    assert "No space left" in str(world.command.completed[0].value)
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
