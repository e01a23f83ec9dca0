"""From what the agent is told and does to spans of its own, each below one of the master's. Pure.

    build (master) ─┬─ claim, keeper start
                    └─ … command (master) ── run ── download     (or upload)

A `start` says below which span its command runs. A master that was restarted says it anew, with a span that it will end
itself; so a command's span is told when a master has stored its end, below the span of that master's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cachetools import FIFOCache

from contracts import messages as m
from contracts.traces.spans import Span, TraceContext, Value, known
from worker_agent.core import actions, inputs

#: Offers and sessions that are known at a time; the oldest are forgotten first.
KNOWN = 1_000


@dataclass(kw_only=True)
class TracedClaim:
    """An offer in hand, from its delivery to the answer to its claim."""

    offer: m.Offer
    delivery: int
    parent: TraceContext
    start: float


@dataclass(kw_only=True)
class TracedCommand:
    """A command, until a master has stored its end."""

    step: str
    name: str
    start: float
    parent: TraceContext
    end: float | None = None
    #: number of the event that completes it
    completed: int | None = None
    fields: Mapping[str, str | float | None] = field(default_factory=dict)
    #: of a file: bytes, and when the first and the last of them came or went; the last event of them
    size: int = 0
    moved: tuple[float, float] | None = None
    written: int = 0

    def move(self, size: int, now: float) -> None:
        self.size = max(self.size, size)
        self.moved = (self.moved[0] if self.moved else now, now)


@dataclass(kw_only=True)
class TracedSession:
    """A session. `root`: the build's span, where its claim was traced."""

    root: TraceContext | None = None
    #: below which a command runs, by number
    parents: dict[int, TraceContext] = field(default_factory=dict)
    commands: dict[int, TracedCommand] = field(default_factory=dict)
    #: when its keeper was asked for
    keeper_since: float | None = None


class AgentTraces:
    """`end(span)`: one has ended. Times are seconds since the epoch. What comes without a span is not traced."""

    def __init__(self, agent: str, end: Callable[[Span], None]) -> None:
        self._agent = agent
        self._end = end
        #: by offer, and by session
        self._offers: FIFOCache[str, TracedClaim] = FIFOCache(KNOWN)
        self._claims: FIFOCache[str, TracedClaim] = FIFOCache(KNOWN)
        self._sessions: FIFOCache[str, TracedSession] = FIFOCache(KNOWN)

    # ---- what the agent is told

    def saw(self, event: inputs.Input, now: float) -> None:
        if isinstance(event, inputs.OfferDelivered):
            parent = TraceContext.of(event.offer.traceparent)
            if parent is not None:
                self._offers[event.offer.offer] = TracedClaim(
                    offer=event.offer, delivery=event.delivery, parent=parent, start=now
                )
        elif isinstance(event, inputs.MessageReceived):
            self._heard(event.message, now)

    def _heard(self, message: m.AnyMessage, now: float) -> None:
        if isinstance(message, m.Grant):
            self._claimed(message.session, "granted", now)
        elif isinstance(message, m.Later) or (isinstance(message, m.Refuse) and message.re == "claim"):
            self._claimed(message.session, "put off" if isinstance(message, m.Later) else "refused", now)
        elif isinstance(message, m.Start):
            parent, n = TraceContext.of(message.traceparent), message.command.n
            if parent is not None:
                session = self._session(message.session)
                session.parents[n] = parent
                if n in session.commands:
                    session.commands[n].parent, session.commands[n].step = parent, message.command.step
        if isinstance(message, (m.Grant, m.Ping, m.Stored)) and message.session in self._sessions:
            self._stored(message.session, message.stored)

    def keeper_ready(self, session: str, now: float) -> None:
        """The keeper that an `OpenSession` asked for can run commands."""
        found = self._sessions.get(session)
        if found is not None and found.root is not None and found.keeper_since is not None:
            self._tell("keeper start", found.root, found.keeper_since, now, session, buildbot__session=session)
            found.keeper_since = None

    # ---- what it does

    def did(self, action: actions.Action, now: float) -> None:
        if isinstance(action, actions.Publish):
            self._published(action.message, now)
        elif isinstance(action, actions.Report):
            self._reported(action, now)
        elif isinstance(action, actions.OpenSession):
            if action.session in self._sessions:
                self._sessions[action.session].keeper_since = now
        elif isinstance(action, actions.FeedData):
            running = self._running(action.session, action.n)
            if running is not None:
                running.move(action.offset + len(action.data), now)
        elif isinstance(action, (actions.Park, actions.GiveBack, actions.SendToDead)):
            self._returned(action.delivery, now)
        elif isinstance(action, actions.CloseSession) and not action.keep_journal:
            self._closed(action.session, now)

    def _published(self, message: m.Message, now: float) -> None:
        if isinstance(message, m.Claim):
            claiming = self._offers.pop(message.offer, None)
            if claiming is not None:
                self._claims[message.session] = claiming
                self._session(message.session).root = claiming.parent
        elif isinstance(message, m.Event):
            running = self._running(message.session, message.n)
            if running is None:
                return
            if message.kind == "completed":
                running.completed = message.seq
            elif message.kind == "write" and message.seq > running.written:
                running.written = message.seq
                running.move(running.size + len(message.data), now)

    def _reported(self, report: actions.Report, now: float) -> None:
        n = report.fields.get("n")
        if report.event not in ("command", "command_ended") or not isinstance(n, int):
            return
        session = self._session(report.session)
        parent = session.parents.get(n) or TraceContext.of(report.offer.traceparent)
        if parent is None:
            return
        if report.event == "command":
            self._claimed(report.session, "started before a grant", now)
        running = session.commands.get(n)
        if running is None:  # at an end: an earlier process of this agent has started it
            seconds = report.fields.get("seconds")
            start = now - seconds if report.event == "command_ended" and isinstance(seconds, (int, float)) else now
            step, name = (str(report.fields.get(key) or "") for key in ("step", "name"))
            running = session.commands[n] = TracedCommand(step=step, name=name, start=start, parent=parent)
        if report.event == "command_ended":
            running.end, running.fields = now, report.fields

    # ---- ends

    def _claimed(self, session: str, answer: str, now: float) -> None:
        claim = self._claims.pop(session, None)
        if claim is not None:
            parent = claim.parent
            self._tell(
                "claim", parent, claim.start, now, session,
                kind_consumer=True, buildbot__answer=answer, buildbot__session=session,
                buildbot__requirements=claim.offer.signature, messaging__message__id=claim.offer.offer,
            )  # fmt: skip

    def _returned(self, delivery: int, now: float) -> None:
        """An offer goes back, claimed or not."""
        for session, claim in list(self._claims.items()):
            if claim.delivery == delivery:
                self._claimed(session, "unanswered", now)
        for offer, claim in list(self._offers.items()):
            if claim.delivery == delivery:
                del self._offers[offer]

    def _stored(self, session: str, stored: int) -> None:
        """A master has stored the events up to this one: it ends the spans of commands that completed by then."""
        commands = self._sessions[session].commands
        for n, running in list(commands.items()):
            if running.end is not None and running.completed is not None and running.completed <= stored:
                self._ran(session, n, commands.pop(n))

    def _closed(self, session: str, now: float) -> None:
        found = self._sessions.pop(session, None)
        for n, running in found.commands.items() if found is not None else ():
            if running.end is None:
                running.end, running.fields = now, {"failure": "its session ended first"}
            self._ran(session, n, running)

    def close(self) -> None:
        """The agent leaves: tell what has ended and was not stored yet."""
        for session, found in self._sessions.items():
            for n, running in found.commands.items():
                if running.end is not None:
                    self._ran(session, n, running)

    def _ran(self, session: str, n: int, running: TracedCommand) -> None:
        fields, end = running.fields, running.end
        assert end is not None
        failed = fields.get("failure") or fields.get("infrastructure")
        code = fields.get("exit_code")
        own = self._tell(
            f"run {running.step or running.name}", running.parent, running.start, end, session, n,
            failure="it could not be run to its end" if failed else None,
            buildbot__session=session, buildbot__command=running.name, buildbot__command__number=n,
            buildbot__command__interrupted=bool(fields.get("interrupted")) or None,
            cicd__pipeline__task__name=running.step, process__exit__code=code,
        )  # fmt: skip
        if running.moved is not None:
            name = "upload" if running.name.startswith("upload") else "download"
            self._tell(name, own, *running.moved, session, n, buildbot__transfer__bytes=running.size)

    def _tell(
        self, name: str, parent: TraceContext, start: float, end: float, *ids: object, failure: str | None = None,
        kind_consumer: bool = False, **attributes: Value | None,
    ) -> TraceContext:  # fmt: skip
        context = parent.named("agent", name, *ids)
        self._end(
            Span(
                name=name, context=context, parent=parent, start=start, end=end, failure=failure,
                kind="consumer" if kind_consumer else "internal",
                attributes=known(cicd__worker__name=self._agent, **attributes),
            )
        )  # fmt: skip
        return context

    def _session(self, session: str) -> TracedSession:
        found = self._sessions.get(session)
        if found is None:
            found = self._sessions[session] = TracedSession()
        return found

    def _running(self, session: str, n: int) -> TracedCommand | None:
        found = self._sessions.get(session)
        return found.commands.get(n) if found is not None else None
