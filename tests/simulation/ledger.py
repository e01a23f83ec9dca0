"""The truth of a schedule: who executed what when, what was given up. Checks what can be checked as it happens."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from contracts.messages import Event

#: A message that is handed out more often than this runs in circles.
DELIVERIES_MAX = 25


class Violation(AssertionError):
    """An invariant of the protocol does not hold."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


@dataclass(eq=False, kw_only=True)
class Execution:
    """One process tree that runs, or ran, one command."""

    request: str
    session: str
    n: int
    digest: str
    host: str
    strict: bool
    started: float
    ended: float | None = None


@dataclass
class Ledger:
    executions: list[Execution] = field(default_factory=list)
    running: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    #: session -> all events that its keeper ever journalled
    events: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    #: session -> why the bridge (or a bridge that never heard of it) does not count on it any more
    given_up: dict[str, str] = field(default_factory=dict)
    #: session -> incarnations that heard of it
    known: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: master -> incarnation that runs, None while it is down
    incarnations: dict[str, str | None] = field(
        default_factory=dict
    )  #: machines that stand still: nothing runs there at the moment
    suspended: set[str] = field(default_factory=set)
    #: request -> sessions that Buildbot lost with a command started
    lost_running: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def executes(self, execution: Execution, master: str) -> None:
        where = f"{execution.request} command {execution.n} in {execution.session} on {execution.host}"
        for earlier in self.executions:
            if earlier.session == execution.session and earlier.n == execution.n:
                raise Violation("a command runs once in a session", f"{where}: runs a second time")
        for other in self.running[execution.request]:
            if other.session == execution.session:
                raise Violation("a session's commands run one at a time", f"{where}: command {other.n} still runs")
            both = f"{where}: {other.session} still runs command {other.n} on {other.host}"
            if execution.strict and not {execution.host, other.host} & self.suspended:
                raise Violation("strict fencing: never two runs at a time", both)
            if self.counted_on(other.session, master) and execution.session not in self.given_up:
                raise Violation("at most one agent runs a request's commands", both + ", and is not given up")
        self.executions.append(execution)
        self.running[execution.request].append(execution)

    def check_fences(self, host: str) -> None:
        """A machine runs again: what a fence should have killed meanwhile must be dead by now."""
        for executions in self.running.values():
            here = [execution for execution in executions if execution.host == host and execution.strict]
            if here and len(executions) > 1 and host not in self.suspended:
                both = f"{here[0].request}: {[execution.session for execution in executions]}"
                raise Violation("strict fencing: never two runs at a time", both)

    def ends(self, execution: Execution, now: float) -> None:
        execution.ended = now
        self.running[execution.request].remove(execution)

    def counted_on(self, session: str, master: str) -> bool:
        """The master's running bridge has heard of the session and has not given it up."""
        return session not in self.given_up and self.incarnations.get(master) in self.known[session]

    def running_in(self, session: str, host: str) -> list[Execution]:
        return [
            execution
            for executions in self.running.values()
            for execution in executions
            if (execution.session, execution.host) == (session, host)
        ]

    def lives(self, request: str) -> int:
        """What the request may have cost: sessions in which its commands ran, or were to run."""
        ran = {execution.session for execution in self.executions if execution.request == request}
        return len(ran | self.lost_running[request])

    def journalled(self, event: Event) -> None:
        self.events[event.session].append(event)
