"""What is known of a search and of a session until they end; then these are spans. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.messages import Event
from contracts.traces.spans import Span, TraceContext, known
from master_bridge.core.actions import Holder
from master_bridge.core.inputs import Seek

#: Claims and offers of one search that are told; more are for nobody who reads a trace.
TOLD = 100
#: What happens to a session.
MISSING, BACK = "the agent does not answer", "the agent answers again"


@dataclass(kw_only=True)
class TracedClaim:
    """An agent's claim, or its resume, of `request`; `answer`: what it was told."""

    request: str
    session: str
    agent: str
    resumes: bool
    start: float
    #: commands that a resume says were started earlier
    earlier: frozenset[int] = frozenset()
    answered: float | None = None
    answer: str = ""


@dataclass(kw_only=True)
class TracedSearch:
    """`context` is its own; `start`: when Buildbot asked. Times are seconds since the epoch."""

    context: TraceContext
    seek: Seek
    start: float
    offers: list[tuple[str, float]] = field(default_factory=list)
    claims: list[TracedClaim] = field(default_factory=list)

    def spans(self, root: TraceContext, end: float, outcome: str, failure: str | None) -> Iterator[Span]:
        """`outcome`: "found", or why it ended without an agent."""
        seek, own = self.seek, self.context
        yield Span(
            name="search", context=own, parent=root, start=self.start, end=end, failure=failure,
            attributes=known(
                buildbot__request=seek.request, buildbot__requirements=seek.signature, buildbot__outcome=outcome,
                buildbot__priority=seek.priority, cicd__pipeline__run__id=str(seek.run),
                cicd__pipeline__task__name=seek.step,
            ),
        )  # fmt: skip
        for offer, at in self.offers:
            yield Span(
                name="offer", context=own.named("offer", offer), parent=own, start=at, end=at, kind="producer",
                attributes=known(messaging__message__id=offer),
            )  # fmt: skip
        if self.offers:
            first = min([claim.start for claim in self.claims], default=end)
            start = self.offers[0][1]
            yield Span(name="wait", context=own.named("wait"), parent=own, start=start, end=max(start, first))
        for number, claim in enumerate(self.claims):
            start = max(claim.start, self.start)
            answered = end if claim.answered is None else max(start, claim.answered)
            yield Span(
                name="resume" if claim.resumes else "claim", context=own.named("claim", number), parent=own,
                start=start, end=answered,
                attributes=known(
                    cicd__worker__name=claim.agent, buildbot__session=claim.session, buildbot__answer=claim.answer
                ),
            )  # fmt: skip
            if claim.answer == "granted":
                yield Span(name="grant", context=own.named("grant", number), parent=own, start=answered, end=end)


@dataclass(kw_only=True)
class TracedCommand:
    """A command of a session."""

    context: TraceContext
    number: int
    name: str
    step: str
    start: float
    #: its agent has started it for an earlier process of this master
    earlier: bool
    exit_code: int | None = None
    interrupted: bool = False
    #: of a file: bytes, and when the first and the last of them came or went
    size: int = 0
    moved: tuple[float, float] | None = None

    def hear(self, event: Event, now: float) -> None:
        if event.kind == "update" and isinstance(event.value, list) and event.value[:1] == ["rc"]:
            rc = event.value[-1]
            self.exit_code = rc if isinstance(rc, int) else None
        elif event.kind == "write":
            self.move(self.size + len(event.data), now)
        elif event.kind == "completed":
            self.interrupted = self.interrupted or event.interrupted is not None

    def move(self, size: int, now: float) -> None:
        """So many bytes of its file came or went by now."""
        self.size = max(self.size, size)
        self.moved = (self.moved[0] if self.moved else now, now)

    def spans(self, session: TraceContext, agent: str, end: float, failure: str | None) -> Iterator[Span]:
        yield Span(
            name=f"command {self.step or self.name}", context=self.context, parent=session, start=self.start, end=end,
            failure=failure,
            attributes=known(
                buildbot__command=self.name, buildbot__command__number=self.number,
                buildbot__command__interrupted=self.interrupted or None,
                buildbot__command__started__earlier=self.earlier or None,
                cicd__pipeline__task__name=self.step, cicd__worker__name=agent, process__exit__code=self.exit_code,
            ),
        )  # fmt: skip
        if self.moved is not None:
            yield Span(
                name="upload" if self.name.startswith("upload") else "download",
                context=self.context.named("transfer"), parent=self.context, start=self.moved[0], end=self.moved[1],
                attributes={"buildbot.transfer.bytes": self.size},
            )  # fmt: skip


@dataclass(kw_only=True)
class TracedSession:
    """A session on an agent."""

    context: TraceContext
    seek: Seek
    holder: Holder
    adopted: bool
    start: float
    #: commands that were started for an earlier process of this master
    earlier: frozenset[int]
    commands: dict[int, TracedCommand] = field(default_factory=dict)
    completed: set[int] = field(default_factory=set)
    events: list[tuple[str, float]] = field(default_factory=list)

    def note_presence(self, *, missing: bool, now: float) -> None:
        """Its agent does not answer, or does again."""
        gone = bool(self.events) and self.events[-1][0] == MISSING
        if missing != gone and len(self.events) < TOLD:
            self.events.append((MISSING if missing else BACK, now))

    def spans(self, root: TraceContext, end: float, failure: str | None) -> Iterator[Span]:
        """Commands that have not completed among them."""
        holder = self.holder
        for running in self.commands.values():
            text = "its session ended first" if failure is None else f"its session ended first: {failure}"
            yield from running.spans(self.context, holder.agent, end, text)
        yield Span(
            name="session", context=self.context, parent=root, start=self.start, end=end, failure=failure,
            events=tuple(self.events),
            attributes=known(
                buildbot__request=self.seek.request, buildbot__session=holder.session,
                buildbot__session__adopted=self.adopted or None,
                cicd__pipeline__run__id=str(self.seek.run), cicd__pipeline__task__name=self.seek.step,
                cicd__worker__name=holder.agent, cicd__worker__id=holder.instance, buildbot__account=holder.account,
            ),
        )  # fmt: skip
