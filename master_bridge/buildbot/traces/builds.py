"""From what the bridge is told and does to spans: one trace a build request, with all its builds and steps. Pure.

    build ─┬─ search ─┬─ offer, wait
           │          └─ claim, grant            (each claim, and what it was told)
           └─ session ── command ── download     (or upload)

A step's own command has its search and its session in the trace of its build. The ids of a build and of a session are
derived, so that after a restart of the master theirs are the same: a search that the restart has ended is not told, a
session that is adopted goes on, and what was told of neither before the restart is told once, when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from cachetools import FIFOCache

from contracts import messages as m
from contracts.readable import shown
from contracts.traces.spans import Span, TraceContext, known
from master_bridge.buildbot.traces.stays import TOLD, TracedClaim, TracedCommand, TracedSearch, TracedSession
from master_bridge.core import actions, inputs

#: Requests, and claims without an answer, that are known at a time; the oldest are forgotten first.
REQUESTS, CLAIMS = 10_000, 10_000
#: Characters of a reason that a span tells.
REASON_SHOWN = 300
#: What a claim was told, by the message that told it.
ANSWERS = {"grant": "granted", "refuse": "refused", "later": "put off"}
#: Buildbot's words for how a build ended in those of OpenTelemetry ("CICD metrics and spans"); others are errors.
RESULTS = {
    "success": "success", "warnings": "success", "skipped": "skip", "failure": "failure", "cancelled": "cancellation",
}  # fmt: skip

Sent = TypeVar("Sent", bound=m.Message)


@dataclass
class TracedRequest:
    """A build request, or a step's command, and where it is."""

    root: TraceContext
    seek: inputs.Seek
    search: TracedSearch | None = None
    stay: TracedSession | None = None


class BuildTraces:
    """Times are seconds since the epoch.

    incarnation  of the bridge: what this process alone knows of is told under ids of its own
    root(key)    the span of a build request, by its work key ("br-17")
    end(span)    a span has ended
    """

    def __init__(self, *, incarnation: str, root: Callable[[str], TraceContext], end: Callable[[Span], None]) -> None:
        self._incarnation = incarnation
        self._root = root
        self._end = end
        #: of what got an id of this process's own
        self._count = 0
        #: by work key of the build: the last seek for it or for one of its steps
        self._builds: FIFOCache[str, inputs.Seek] = FIFOCache(REQUESTS)
        self._requests: FIFOCache[str, TracedRequest] = FIFOCache(REQUESTS)
        #: by session
        self._claims: FIFOCache[str, TracedClaim] = FIFOCache(CLAIMS)
        self._sessions: FIFOCache[str, TracedRequest] = FIFOCache(REQUESTS)

    # ---- what the bridge is told

    def saw(self, event: inputs.Input, now: float) -> None:
        if isinstance(event, inputs.MessageReceived):
            self._heard(event.message, now)
        elif isinstance(event, inputs.Seek):
            self._seek(event, now)
        elif isinstance(event, (inputs.Withdraw, inputs.Done, inputs.Keep)):
            found = self._requests.get(event.request)
            if found is not None:
                self._over(found, now, kept=isinstance(event, inputs.Keep))
        elif isinstance(event, inputs.InterruptCommand):
            stay = self._stay(event.request)
            if stay is not None and event.n in stay.commands:
                stay.commands[event.n].interrupted = True

    def _seek(self, seek: inputs.Seek, now: float) -> None:
        found, build = self._requests.get(seek.request), build_key(seek.request)
        if seek.kind == "build" or build not in self._builds:
            self._builds[build] = seek
        if found is None:
            found = self._requests[seek.request] = TracedRequest(root=self._root(build), seek=seek)
        else:
            self._over(found, now, kept=True)
            found.seek = seek
        found.search = TracedSearch(context=self._own(found.root, "search"), seek=seek, start=now)

    def _heard(self, message: m.AnyMessage, now: float) -> None:
        """Who sent it is not verified yet: it counts with its answer, which may come when Buildbot asks."""
        if isinstance(message, (m.Claim, m.Resume)):
            resumes = isinstance(message, m.Resume)
            earlier = frozenset(each.n for each in message.commands) if isinstance(message, m.Resume) else frozenset()
            self._claims[message.session] = TracedClaim(
                request=message.request, session=message.session, agent=message.agent, resumes=resumes, start=now,
                earlier=earlier,
            )  # fmt: skip

    # ---- what it does

    def did(self, action: actions.Action, now: float) -> None:
        if isinstance(action, actions.Send):
            self._sent(action.message, now)
        elif isinstance(action, actions.PublishOffer):
            found = self._requests.get(action.offer.request)
            if found is not None and found.search is not None and len(found.search.offers) < TOLD:
                found.search.offers.append((action.offer.offer, now))
        elif isinstance(action, actions.Attach):
            self._attached(action, now)
        elif isinstance(action, actions.Deliver):
            self._delivered(action, now)
        elif isinstance(action, actions.StateChanged):
            stay = self._stay(action.request)
            if stay is not None:
                stay.note_presence(missing=action.state == "missing", now=now)
        elif isinstance(action, (actions.Lost, actions.Abandoned)):
            found = self._requests.get(action.request)
            if found is not None:
                self._over(found, now, failure=shown(action.reason, REASON_SHOWN))

    def _sent(self, message: m.Message, now: float) -> None:
        if isinstance(message, (m.Grant, m.Refuse, m.Later)):
            claim = self._claims.pop(message.session, None)
            found = self._requests.get(claim.request) if claim is not None else None
            if claim is None or found is None:
                return
            claim.answered = now
            claim.answer = ANSWERS[message.t]
            if isinstance(message, m.Grant):
                self._sessions[message.session] = found
            if found.search is not None and len(found.search.claims) < TOLD:
                found.search.claims.append(claim)
        elif isinstance(message, m.Start):
            self._started(message, now)

    def _attached(self, action: actions.Attach, now: float) -> None:
        found = self._requests.get(action.request)
        if found is None:
            return
        holder = action.holder
        claims = found.search.claims if found.search is not None else []
        earlier = next((claim.earlier for claim in reversed(claims) if claim.session == holder.session), frozenset())
        self._searched(found, now, "found")
        self._sessions[holder.session] = found
        found.stay = TracedSession(
            context=found.root.named("session", holder.session),
            seek=found.seek,
            holder=holder,
            adopted=action.adopted,
            start=holder.since if action.adopted and holder.since else now,
            earlier=earlier,
        )

    def _started(self, start: m.Start, now: float) -> None:
        """A `start` is sent again to an agent that was missing."""
        found = self._sessions.get(start.session)
        stay = found.stay if found is not None else None
        n = start.command.n
        if stay is None or n in stay.commands or n in stay.completed:
            return
        stay.commands[n] = TracedCommand(
            context=self._own(stay.context, "command"),
            number=n,
            name=start.command.name,
            step=start.command.step,
            start=now,
            earlier=n in stay.earlier,
        )

    def _delivered(self, action: actions.Deliver, now: float) -> None:
        stay, event = self._stay(action.request), action.event
        running = stay.commands.get(event.n) if stay is not None else None
        if stay is None or running is None:
            return
        running.hear(event, now)
        if event.kind == "completed":
            del stay.commands[event.n]
            stay.completed.add(event.n)
            failure = "its agent could not run it" if event.value is not None or event.infrastructure else None
            self._tell(running.spans(stay.context, stay.holder.agent, now, failure))

    def served(self, data: m.Data, now: float) -> None:
        """An agent is sent a piece of a file that a command downloads."""
        found = self._sessions.get(data.session)
        running = found.stay.commands.get(data.n) if found is not None and found.stay is not None else None
        if running is not None:
            running.move(data.offset + len(data.data), now)

    # ---- what travels with messages

    def stamped(self, message: Sent) -> Sent:
        """`message` with the span that what it leads to is a part of, where that is known (rule 25)."""
        context = None
        if isinstance(message, m.Offer):
            found = self._requests.get(message.request)
            context = found.root if found is not None else None
        elif isinstance(message, m.Start):
            found = self._sessions.get(message.session)
            running = found.stay.commands.get(message.command.n) if found is not None and found.stay else None
            context = running.context if running is not None else None
        return message if context is None else message.model_copy(update={"traceparent": context.traceparent})

    # ---- ends

    def completed(self, key: str, submitted: float, result: str, now: float) -> None:
        """Buildbot has completed the build request `key`, which somebody `submitted`."""
        seek = self._builds.pop(key, None)
        if seek is None:
            return
        self._end(
            Span(
                name=f"build {seek.builder}", context=self._root(key), parent=None, start=submitted, end=now,
                failure=None if result in ("success", "warnings", "skipped") else result,
                attributes=known(
                    buildbot__request=key, buildbot__build__number=seek.build_number, buildbot__build__result=result,
                    cicd__pipeline__name=seek.builder, cicd__pipeline__run__id=str(seek.run),
                    cicd__pipeline__result=RESULTS.get(result, "error"),
                ),
            )
        )  # fmt: skip

    def _over(self, found: TracedRequest, now: float, *, kept: bool = False, failure: str | None = None) -> None:
        """`kept`: its session goes on, here or in the next process, and is told when it ends."""
        self._searched(found, now, "kept" if kept else "given up" if failure else "withdrawn", failure)
        stay, found.stay = found.stay, None
        if stay is not None:
            self._sessions.pop(stay.holder.session, None)
            if not kept:
                self._tell(stay.spans(found.root, now, failure))

    def _searched(self, found: TracedRequest, now: float, outcome: str, failure: str | None = None) -> None:
        search, found.search = found.search, None
        if search is not None:
            self._tell(search.spans(found.root, now, outcome, failure))

    def _own(self, above: TraceContext, what: str) -> TraceContext:
        """Of a span that no other process goes on with."""
        self._count += 1
        return above.named(what, self._incarnation, self._count)

    def _stay(self, request: str) -> TracedSession | None:
        found = self._requests.get(request)
        return found.stay if found is not None else None

    def _tell(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self._end(span)


def build_key(request: str) -> str:
    """The work key of the build that `request` is, or is a step of."""
    return request.partition("/")[0]
