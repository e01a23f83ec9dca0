"""A session inside its keeper: journals what its commands do, in the words of whoever runs them (`runner.Runner`).

What becomes of a command is the table at the end, `ROWS`, and `IGNORED` with reasons. docs/architecture.md shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from worker_agent.keeper.journal.writer import Journal, JournalFull
from worker_agent.keeper.limits import UPLOAD_AHEAD
from worker_agent.keeper.runner import Listener, Runner
from worker_agent.keeper.settings import KeeperConfig

#: Reading of pipes goes on when the unstored bytes have fallen below this part of the bound.
_RESUME_AT = 0.75


class State(Enum):
    """How far a command is."""

    #: the session does not know it
    UNKNOWN = "unknown"
    #: its start is journalled, and the runner does not have it yet
    STARTING = "starting"
    #: the runner has it
    RUNNING = "running"
    #: its end is journalled
    OVER = "over"


class Cue(Enum):
    """What can happen to a command: orders of the main process, and what the runner and the disk tell."""

    RUN = "run"
    COMPLETE_UNSTARTED = "complete unstarted"
    FAIL = "fail"
    INTERRUPT = "interrupt"
    CONDEMN = "condemn"
    FEED = "feed"
    EVENT = "event"
    COMPLETED = "completed"


class JournalState(Enum):
    """Whether the journal takes events."""

    OPEN = "open"
    #: the disk took no more: of commands that ran then only their ends get in
    FULL = "full"
    #: the session is over: nothing gets in
    CLOSED = "closed"


@dataclass
class CommandRecord:
    """What the session knows of one of its commands."""

    state: State = State.UNKNOWN
    #: why it was interrupted, where it was
    interrupted: str | None = None
    #: why the machine could not let it run on, where it could not
    condemned: str | None = None


class KeeperSession:
    """An `orders.Executor`, and the `runner.Listener` of its runner.

    `journalled` is called with the last sequence number when there is news, `pulled` with (n, offset, length) when a
    download wants bytes, `broken` with the reason when not even a failure can be journalled any more.
    """

    def __init__(
        self,
        config: KeeperConfig,
        runner: Callable[[Listener], Runner],
        *,
        journalled: Callable[[int], None],
        pulled: Callable[[int, int, int], None],
        broken: Callable[[str], None],
    ) -> None:
        settings = config.settings
        self._settings = settings
        self._journal = Journal(config.folder, spool_max=settings.spool_max, journal_max=settings.journal_max)
        self._journalled = journalled
        self._pulled = pulled
        self._broken = broken
        self._state = JournalState.OPEN
        self._room = (True, True)
        self._commands: dict[int, CommandRecord] = {}
        self._runner = runner(self)

    @property
    def seq(self) -> int:
        return self._journal.seq

    @property
    def running(self) -> list[int]:
        """Commands that have begun and not ended."""
        begun = (State.STARTING, State.RUNNING)
        return sorted(n for n, command in self._commands.items() if command.state in begun)

    @property
    def empty(self) -> bool:
        """After `end`: it is certain that none of its processes is left."""
        return self._runner.empty

    def attached(self) -> None:
        """A new main process is there."""
        self._runner.attached()

    def happen(self, n: int, cue: Cue, **news: Any) -> None:
        """`cue` happens to command `n`; `news` is what comes with it."""
        command = self._commands.get(n) or CommandRecord()
        if (command.state, cue) in ROWS:
            self._commands[n] = command
            ROWS[command.state, cue][0](self, n, command, **news)

    # Orders of the main process: orders.Executor

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None:
        """Start command `n`. One that is known already is not run again."""
        self.happen(n, Cue.RUN, name=name, args=args, digest=digest)

    def complete_unstarted(self, n: int, name: str, digest: str, reason: str) -> None:
        """The interrupt came first (rule 14): journal that, run nothing."""
        self.happen(n, Cue.COMPLETE_UNSTARTED, name=name, digest=digest, reason=reason)

    def fail(self, n: int, reason: str) -> None:
        """Command `n` cannot be run, and completes with `reason`. Not for one that runs or is over."""
        self.happen(n, Cue.FAIL, reason=reason)

    def interrupt(self, n: int, reason: str) -> None:
        """End command `n`, and say why."""
        self.happen(n, Cue.INTERRUPT, reason=reason)

    def condemn(self, reason: str) -> None:
        """The machine cannot let them run: interrupt all commands, and say why in `infrastructure`."""
        for n in self.running:
            self.happen(n, Cue.CONDEMN, reason=reason)

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        """Bytes of the file that command `n` downloads."""
        self.happen(n, Cue.FEED, offset=offset, size=size, data=data)

    def trim(self, seq: int) -> None:
        self._journal.trim(seq)
        self._mind_room()

    async def end(self) -> list[str]:
        """Kill every process of the session, those that commands left behind, too; return when none is left.

        Returns what commands that are over had left running.
        """
        try:
            return await self._runner.end()
        finally:
            self._state = JournalState.CLOSED
            self._journal.close()

    async def kill_all(self, reason: str) -> None:
        """Kill every process, go on journalling: running commands complete with `reason` as `infrastructure`."""
        self.condemn(reason)
        await self._runner.kill_all()

    # What its runner tells: runner.Listener

    def append(self, n: int, kind: str, value: Any = None, data: bytes = b"") -> None:
        self.happen(n, Cue.EVENT, kind=kind, value=value, data=data)

    def completed(self, n: int, failure: str | None, infrastructure: str | None) -> None:
        self.happen(n, Cue.COMPLETED, failure=failure, infrastructure=infrastructure)

    def pull(self, n: int, offset: int, length: int) -> None:
        self._pulled(n, offset, length)

    def broken(self, reason: str) -> None:
        self._broken(reason)

    # What happens to a command: handlers of the table

    def _run(self, n: int, command: CommandRecord, *, name: str, args: Mapping[str, Any], digest: str) -> None:
        command.state = State.STARTING
        if self._state is JournalState.FULL and self._journal.set_reserve():
            self._state = JournalState.OPEN  # somebody made room
        self._append(n, "started", {"name": name, "digest": digest})
        if self._state is JournalState.FULL:
            self.condemn("disk full: no room for the journal")
        self._runner.run(n, name, args, digest, unwanted=command.condemned is not None)
        if command.state is State.STARTING:
            command.state = State.RUNNING

    def _complete_unstarted(self, n: int, command: CommandRecord, *, name: str, digest: str, reason: str) -> None:
        command.state = State.STARTING
        self._append(n, "started", {"name": name, "digest": digest})
        command.state = State.OVER
        self._append(n, "completed", None, interrupted=reason)

    def _fail_unknown(self, n: int, command: CommandRecord, *, reason: str) -> None:
        command.state = State.STARTING
        self._append(n, "started", {"name": "", "digest": ""})
        self._fail(n, command, reason=reason)

    def _fail(self, n: int, command: CommandRecord, *, reason: str) -> None:
        command.state = State.OVER
        self._append(n, "completed", reason, infrastructure=reason)

    def _interrupt(self, n: int, command: CommandRecord, *, reason: str) -> None:
        if command.interrupted is None:
            command.interrupted = reason
        self._runner.interrupt(n)

    def _condemn(self, n: int, command: CommandRecord, *, reason: str) -> None:
        if command.condemned is None:
            command.condemned = reason
        self._runner.interrupt(n)

    def _feed(self, n: int, command: CommandRecord, *, offset: int, size: int, data: bytes) -> None:
        self._runner.feed(n, offset, size, data)

    def _event(self, n: int, command: CommandRecord, *, kind: str, value: Any, data: bytes) -> None:
        self._append(n, kind, value, data)

    def _completed(self, n: int, command: CommandRecord, *, failure: str | None, infrastructure: str | None) -> None:
        command.state = State.OVER
        if infrastructure is None:
            infrastructure = command.condemned
        self._append(n, "completed", failure, interrupted=command.interrupted, infrastructure=infrastructure)

    # The journal

    def _append(
        self,
        n: int,
        kind: str,
        value: Any = None,
        data: bytes = b"",
        *,
        interrupted: str | None = None,
        infrastructure: str | None = None,
    ) -> None:
        """Journal one event and say so. On a full disk only that a command ran, and how it ended, still gets in."""
        if self._state is JournalState.CLOSED:
            return
        lasting = kind in ("started", "completed")
        if self._commands[n].condemned is not None and self._state is JournalState.FULL and not lasting:
            return
        try:
            seq = self._journal.append(n, kind, value, data, interrupted=interrupted, infrastructure=infrastructure)
        except JournalFull as error:
            self._state = JournalState.FULL
            self._journal.free_reserve()
            self.condemn(f"disk full: {error.strerror}")
            if not lasting:
                return
            try:
                seq = self._journal.append(n, kind, value, interrupted=interrupted, infrastructure=infrastructure)
            except JournalFull:
                self._broken(f"disk full: {error.strerror}")
                return
        self._mind_room()
        self._journalled(seq)

    def _mind_room(self) -> None:
        """Producers stop above a bound, and go on well below it."""
        unstored, spool_max = self._journal.unstored, self._settings.spool_max
        uploads_max = min(UPLOAD_AHEAD, spool_max)
        output, uploads = self._room
        room = (
            not self._journal.crowded and (output or unstored <= spool_max * _RESUME_AT),
            unstored <= uploads_max and (uploads or unstored <= uploads_max * _RESUME_AT),
        )
        if room != self._room:
            self._room = room
            self._runner.set_room(*room)


Handler = Callable[..., None]
#: (state, cue) -> what does it, and each state that may follow with what is done on the way, in words for the diagram.
ROWS: dict[tuple[State, Cue], tuple[Handler, dict[State, str]]] = {
    (State.UNKNOWN, Cue.RUN): (
        KeeperSession._run,
        {State.RUNNING: "journal started, run", State.OVER: "", State.STARTING: "the runner fails"},
    ),
    (State.UNKNOWN, Cue.COMPLETE_UNSTARTED): (
        KeeperSession._complete_unstarted,
        {State.OVER: "journal started and completed (interrupted)", State.STARTING: "the journal fails"},
    ),
    (State.UNKNOWN, Cue.FAIL): (
        KeeperSession._fail_unknown,
        {State.OVER: "journal started and completed (infrastructure)", State.STARTING: "the journal fails"},
    ),
    (State.STARTING, Cue.FAIL): (KeeperSession._fail, {State.OVER: "journal completed (infrastructure)"}),
    (State.STARTING, Cue.INTERRUPT): (KeeperSession._interrupt, {State.STARTING: "remember the reason"}),
    (State.STARTING, Cue.CONDEMN): (KeeperSession._condemn, {State.STARTING: "remember the reason"}),
    (State.STARTING, Cue.EVENT): (KeeperSession._event, {State.STARTING: "journal"}),
    (State.STARTING, Cue.COMPLETED): (KeeperSession._completed, {State.OVER: "journal completed"}),
    (State.RUNNING, Cue.INTERRUPT): (KeeperSession._interrupt, {State.RUNNING: "end its processes"}),
    (State.RUNNING, Cue.CONDEMN): (KeeperSession._condemn, {State.RUNNING: "end its processes"}),
    (State.RUNNING, Cue.FEED): (KeeperSession._feed, {State.RUNNING: "feed the download"}),
    (State.RUNNING, Cue.EVENT): (KeeperSession._event, {State.RUNNING: "journal"}),
    (State.RUNNING, Cue.COMPLETED): (KeeperSession._completed, {State.OVER: "journal completed"}),
}


def _ignored() -> Iterator[tuple[State, Cue, str]]:
    for cue in (Cue.INTERRUPT, Cue.CONDEMN, Cue.FEED, Cue.EVENT, Cue.COMPLETED):
        yield State.UNKNOWN, cue, "No such command was asked for"
    for state in (State.STARTING, State.RUNNING, State.OVER):
        yield state, Cue.RUN, "A command runs once"
        yield state, Cue.COMPLETE_UNSTARTED, "A command runs once"
    yield State.RUNNING, Cue.FAIL, "It runs, and its runner says how it ends"
    yield State.STARTING, Cue.FEED, "The runner does not have it yet"
    for cue in (Cue.FAIL, Cue.INTERRUPT, Cue.CONDEMN, Cue.FEED, Cue.EVENT, Cue.COMPLETED):
        yield State.OVER, cue, "It is over"


IGNORED = {(state, cue): reason for state, cue, reason in _ignored()}
