"""Buildbot's side of one session: starts commands in it and brings their events to Buildbot, in order, once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from buildbot.process.remotecommand import RemoteCommand
from twisted.internet import defer, error, task
from twisted.python.failure import Failure

from contracts.messages import Data, Event
from master_bridge.buildbot.files.downloads import Changed, Content, NotWanted, OutOfRoom
from master_bridge.buildbot.files.transfers import spool_reader
from master_bridge.buildbot.output.logs import HOLD, INTERVAL, OUTPUT, PIECE
from master_bridge.buildbot.output.room import LOOK_EVERY, Shortage, is_disk_full
from master_bridge.buildbot.sessions.commands import prepare, split_arguments
from master_bridge.buildbot.sessions.running import RunningCommand
from master_bridge.core.actions import Holder, ServeData, Terms
from master_bridge.core.inputs import EventStored, Input, InterruptCommand, StartCommand

log = structlog.get_logger(__name__)

#: A command ended by the bridge, not by its agent, has the exit code of a killed process.
RC_KILLED = -1
#: Bytes of a command's last events that are stored though the master's disk is nearly full.
SMALL = 64 * 1024


class SessionBridge(Protocol):
    """What a session needs of the bridge."""

    incarnation: str

    def feed(self, event: Input) -> None: ...

    def send(self, message: Data, address: str, terms: Terms | None) -> None: ...


class SessionOwner(Protocol):
    """Who decides what becomes of the build or the step."""

    #: seconds for which output may wait for room on the master's disk; None: for as long as it takes
    patience: float | None

    def shortage(self) -> Shortage | None:
        """Of room on the master's disk."""

    def infrastructure_failed(self, running: RunningCommand, reason: str) -> None:
        """The machine, not the command, failed (issue: disk full, out of memory)."""


class BuildSession:
    """Commands of one build, or of one step, on one agent. Ends with `end`; what comes later is dropped."""

    def __init__(
        self, *, reactor: Any, bridge: SessionBridge, request: str, holder: Holder, owner: SessionOwner
    ) -> None:
        self._reactor = reactor
        self._bridge = bridge
        self._request = request
        self._owner = owner
        self.holder = holder
        self._last_n = 0
        self._running: dict[int, RunningCommand] = {}
        self._events: deque[Event] = deque()
        self._busy = False
        self._flushed_at = float("-inf")
        self._flush_timer: Any = None
        self._stored = 0
        self._seen = 0
        self.ended = False

    # -- commands -----------------------------------------------------------------------------------------------------

    @defer.inlineCallbacks
    def start(self, command: RemoteCommand, name: str, args: dict[str, Any]) -> Any:
        """Send one command to the agent; fires with its `RunningCommand`, fails for arguments that cannot be sent."""
        arguments = split_arguments(name, args)
        spool: Content | None = None
        if arguments.reader is not None:
            try:
                spool = yield spool_reader(
                    arguments.reader,
                    args.get("maxsize"),
                    self._reactor,
                    wanted=lambda: not self.ended and not command.interrupted,
                    patience=self._owner.patience,
                )
            except NotWanted:
                if not self.ended:
                    return (yield self._stopped_early(command))
            except OutOfRoom as problem:
                yield self._out_of_room(self.follow(command), str(problem))
                raise error.ConnectionLost(str(problem)) from None
        if self.ended:
            if spool is not None:
                spool.close()
            raise error.ConnectionLost("the agent's session ended before the command was started")
        step = str(getattr(command.step, "name", None) or "")
        prepared = prepare(name, arguments, spool.digest() if spool else "", step=step)
        running = self.follow(command, writer=arguments.writer, spool=spool)
        self._bridge.feed(StartCommand(request=self._request, command=prepared))
        return running

    @defer.inlineCallbacks
    def _stopped_early(self, command: RemoteCommand) -> Any:
        """A Stop while the master still read the file that was to be downloaded: the agent never hears of it."""
        running = RunningCommand(command, n=0, encoding=self.holder.worker.encoding)
        yield command.remoteUpdate("header", "stopped before the download began\n", False)
        yield command.remoteUpdate("rc", RC_KILLED, False)
        running.complete(None)
        return running

    def follow(self, command: RemoteCommand, *, writer: Any = None, spool: Content | None = None) -> RunningCommand:
        """Expect the events of the session's next command (of a command offer: it is started already)."""
        self._last_n += 1
        running = RunningCommand(
            command, n=self._last_n, encoding=self.holder.worker.encoding, writer=writer, spool=spool
        )
        self._running[running.n] = running
        return running

    def interrupt(self, running: RunningCommand, reason: str) -> None:
        if not running.over:
            running.interrupted = True
            self._bridge.feed(InterruptCommand(request=self._request, n=running.n, reason=reason))

    @property
    def current(self) -> RunningCommand | None:
        """The command that Buildbot waits for; None between two steps."""
        return next((running for running in self._running.values() if running.wanted), None)

    def serve(self, wanted: ServeData) -> None:
        """An agent pulls a part of a download."""
        running = self._running.get(wanted.n)
        if running is None:
            return
        try:
            part = running.read(wanted.offset, wanted.length)
        except Changed as problem:
            self._end_changed(running, str(problem)).addErrback(self._crashed)
            return
        if part is None:
            return
        data, size = part
        self._bridge.send(
            Data(
                session=wanted.session,
                incarnation=self._bridge.incarnation,
                n=wanted.n,
                offset=wanted.offset,
                size=size,
                data=data,
            ),
            wanted.address,
            wanted.terms,
        )

    @defer.inlineCallbacks
    def _end_changed(self, running: RunningCommand, reason: str) -> Any:
        """What is downloaded is not there any more: the step fails, as for a file that is not there."""
        self.interrupt_quietly(running, reason)
        running.close()
        yield running.say(reason)
        running.complete(reason)

    def end(self) -> None:
        """Buildbot is done with it, or lost it: drop what is under way."""
        self.ended = True
        self._events.clear()
        self._cancel_timer()
        for running in self._running.values():
            running.over = True
            running.close()
        self._running.clear()

    # -- events -------------------------------------------------------------------------------------------------------

    def deliver(self, event: Event) -> None:
        """The next event of the session; `EventStored` follows when Buildbot has it."""
        if self.ended:
            return
        self._events.append(event)
        self._work()

    def _work(self) -> None:
        if not self._busy and not self.ended:
            self._busy = True
            self._drain().addErrback(self._crashed)

    @defer.inlineCallbacks
    def _drain(self) -> Any:
        while self._events and not self.ended:
            event = self._events.popleft()
            running = self._running.get(event.n)
            self._seen = event.seq
            if running is None:
                self._say_stored()
            elif event.kind in OUTPUT:
                running.collect(event)
                if running.collected >= PIECE:
                    yield self._flush(running)
            else:
                yield self._handle(running, event)
        self._busy = False
        if self._events:
            self._work()
        elif self._seen > self._stored and not self.ended:
            self._set_timer()

    @defer.inlineCallbacks
    def _handle(self, running: RunningCommand, event: Event) -> Any:
        if event.kind == "completed" and event.infrastructure and not running.interrupted and running.wanted:
            yield self._guarded(running, running.say(f"{self.holder.agent}: {event.infrastructure}"))
            self._say_stored()
            self._owner.infrastructure_failed(running, event.infrastructure)
            return
        # what is small goes into the reserve, so that what has ended can end
        bulk = running.collected > SMALL or event.kind in ("write", "writer")
        if not (yield self._room(running, lambda shortage: bulk or not shortage.writable)):
            return
        yield self._guarded(running, running.handle(event))
        self._say_stored()
        if event.kind == "completed":
            running.close()
            self._running.pop(running.n, None)
            if not any(other.collected for other in self._running.values()):
                self._cancel_timer()  # the next command's output has a time of its own

    @defer.inlineCallbacks
    def _flush(self, running: RunningCommand) -> Any:
        if not (yield self._room(running, lambda shortage: True)):
            return
        seen = self._seen
        yield self._guarded(running, running.flush())
        # from its end on: where storing takes long, what came meanwhile may become a large piece, too
        self._flushed_at = self._reactor.seconds()
        self._say_stored(seen)

    @defer.inlineCallbacks
    def _flush_all(self) -> Any:
        for running in list(self._running.values()):
            if running.collected:
                yield self._flush(running)
        if not self._events:
            self._say_stored()

    @defer.inlineCallbacks
    def _guarded(self, running: RunningCommand, work: defer.Deferred[Any]) -> Any:
        """An error while storing fails the command, as Buildbot itself does it; the session goes on."""
        try:
            yield work
        except Exception as problem:
            if is_disk_full(problem):
                yield self._out_of_room(running, f"master: disk full: {problem}")
                return
            log.error("amqp.store_failed", request=self._request, n=running.n, reason=running.redacted(str(problem)))
            running.complete(Failure())
            self.interrupt_quietly(running)

    @defer.inlineCallbacks
    def _room(self, running: RunningCommand, matters: Callable[[Shortage], bool]) -> Any:
        """Wait while the master's disk is too full; meanwhile the agent's window bounds what piles up here.

        Fires with False when there is nothing to be stored any more: all is over, or the work was given up.
        """
        waited = 0.0
        while running.wanted and (shortage := self._owner.shortage()) is not None and matters(shortage):
            patience = self._owner.patience
            if patience is not None and waited >= patience and shortage.writable:
                yield self._out_of_room(running, shortage.text)
                return False
            yield task.deferLater(self._reactor, LOOK_EVERY, lambda: None)
            waited += LOOK_EVERY
        return not self.ended

    @defer.inlineCallbacks
    def _out_of_room(self, running: RunningCommand, reason: str) -> Any:
        """The work is to be repeated, as soon as Buildbot is able to write that down."""
        log.error("amqp.master_storage_full", request=self._request, n=running.n, reason=reason)
        while running.wanted and (shortage := self._owner.shortage()) is not None and not shortage.writable:
            yield task.deferLater(self._reactor, LOOK_EVERY, lambda: None)
        if running.wanted:
            try:
                yield running.say(reason)
            except Exception as problem:  # its database is elsewhere, and full too
                log.warning("amqp.log_header_not_written", request=self._request, reason=str(problem))
        if running.wanted:
            self._owner.infrastructure_failed(running, reason)

    def interrupt_quietly(self, running: RunningCommand, reason: str = "the master could not store it") -> None:
        """End at the agent what Buildbot has given up already."""
        self._bridge.feed(InterruptCommand(request=self._request, n=running.n, reason=reason))

    def _say_stored(self, seq: int | None = None) -> None:
        seq = self._seen if seq is None else seq
        if any(running.collected for running in self._running.values()):
            return  # output of another command that came before: the flush that stores it says so
        if seq > self._stored and not self.ended:
            self._stored = seq
            self._bridge.feed(EventStored(session=self.holder.session, seq=seq))

    def _unseen(self) -> bool:
        """Is there a command's first output, or what comes above it? People wait for it: it waits for its end only."""
        return any(running.collected and not running.shown for running in self._running.values())

    def _set_timer(self) -> None:
        """Store what was collected soon; earlier, if a command's completion comes before."""
        now = self._reactor.seconds()
        due = now + HOLD
        if not self._unseen():
            due = max(due, self._flushed_at + INTERVAL)
        if self._flush_timer is not None:
            if self._flush_timer.getTime() <= due:
                return
            self._cancel_timer()
        self._flush_timer = self._reactor.callLater(due - now, self._timer_fired)

    def _timer_fired(self) -> None:
        self._flush_timer = None
        if not self._busy and not self.ended:
            self._busy = True
            self._flush_now().addErrback(self._crashed)

    @defer.inlineCallbacks
    def _flush_now(self) -> Any:
        yield self._flush_all()
        self._busy = False
        self._work()

    def _cancel_timer(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    def _crashed(self, failure: Failure) -> None:
        """A bug of ours must not leave a build that waits for ever."""
        self._busy = False
        log.error("amqp.session_crashed", request=self._request, reason=failure.getTraceback())
        for running in list(self._running.values()):
            running.complete(failure)
