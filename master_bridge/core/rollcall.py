"""Sessions that agents hold and that nobody has asked for (yet): the roll after a restart (rules 5, 11, 12).

What becomes of each is the table at the end; docs/architecture.md draws it. Requests are looked up in Buildbot's
database as sessions of them come, and every 30 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from contracts.machines.lines import Line, ignored, row, table_of
from contracts.machines.transitions import Table
from contracts.messages import Hold, Refuse
from contracts.timing import ORPHAN_IDLE, ORPHAN_RUNNING
from master_bridge.core.actions import CheckRequest
from master_bridge.core.context import Context
from master_bridge.core.records import Session, Verified, session_of
from master_bridge.core.states import OnRoll

#: A request whose sessions wait for Buildbot is looked up this often: it may have been cancelled meanwhile.
RECHECK = 30.0
#: Most sessions noted at a time, so that a broken agent cannot fill our memory with invented ones.
NOTED_MAX = 10_000
#: … and most of one account's, in number and in bytes. An agent has as many sessions as slots; 100 agents that share an
#: account are more than anybody enrolled so.
ACCOUNT_SESSIONS = 1_000
ACCOUNT_BYTES = 32 * 1024 * 1024


class Cue(Enum):
    """What happens to a session of the roll."""

    #: it is put on it
    NOTED = "noted"
    #: another resume or accept of its agent's, of this connection or a later one
    HEARD_AGAIN = "heard again"
    #: Buildbot's database says of its request
    COMPLETE = "complete"
    NOT_COMPLETE = "not complete"
    #: rule 12: for that long nobody asked for it
    TIME_OVER = "time over"
    #: Buildbot asks for its request, and it is chosen
    ADOPTED = "adopted"
    #: … and another is chosen
    OUTRANKED = "outranked"
    #: its agent has it no more
    GONE = "gone"
    LINK_DOWN = "link down"
    #: the link is back: times count again
    CLOCK_STARTS = "clock starts"


class NotedSessions:
    """The sessions that nobody has asked for, by request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sessions: dict[str, Session] = {}
        self._requests: dict[str, dict[str, Session]] = {}
        #: by broker user
        self._accounts: dict[str, dict[str, Session]] = {}
        #: requests that Buildbot's database is being asked about
        self._checking: set[str] = set()
        #: for tests: does what happens stand in the table?
        self.watch: Callable[[OnRoll, Cue, OnRoll], None] = lambda before, cue, after: None

    def get(self, session: str) -> Session | None:
        return self._sessions.get(session)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def of(self, request: str) -> tuple[Session, ...]:
        return tuple(self._requests.get(request, {}).values())

    def _happen(self, session: Session, cue: Cue, **news: Any) -> None:
        before = session.on_roll
        found = TABLE.row(before, cue)
        if found is not None:
            found.handler(self, session, **news)
        self.watch(before, cue, session.on_roll)

    # noting

    def note(self, verified: Verified, *, wanted: bool) -> None:
        """A new session. `wanted`: Buildbot has asked for its request, so there is nothing to look up."""
        context, message = self._context, verified.message
        full = self._too_much(verified)
        if full is not None:
            context.send(self._refusal(message.session, full), message.address)
            context.verdicts.put(message.session, "given up")
            context.reject(verified.delivery, full, verified.user)
            return
        session = session_of(verified, now=context.now)
        context.keep(session, verified.delivery, message)
        self.add(session, wanted=wanted)

    def _too_much(self, verified: Verified) -> str | None:
        """Why one more session is not noted, so that no account can fill our memory (rule 23); None: it is."""
        if len(self._sessions) >= NOTED_MAX:
            return "this master notes no more sessions"
        theirs = self._accounts.get(verified.user, {}).values()
        if len(theirs) >= ACCOUNT_SESSIONS:
            return f"account {verified.user} has {len(theirs)} sessions noted here already"
        size = sum(session.size for session in theirs) + verified.size
        if size > ACCOUNT_BYTES:
            return f"account {verified.user} would have {size} bytes noted here, more than {ACCOUNT_BYTES}"
        return None

    def add(self, session: Session, *, wanted: bool) -> None:
        """A session that no request has any more, or not yet. `wanted` as in `note`."""
        self._happen(session, Cue.NOTED, wanted=wanted)

    def _put(self, session: Session, *, wanted: bool) -> None:
        session.on_roll = OnRoll.UNSURE
        self._sessions[session.session] = session
        self._requests.setdefault(session.request, {})[session.session] = session
        self._accounts.setdefault(session.user, {})[session.session] = session
        if wanted:
            self._hold(session)
        else:
            self._check(session.request)

    def again(self, session: Session, verified: Verified) -> None:
        """A noted session is heard of again; the highest epoch wins (rule 2)."""
        if verified.message.epoch < session.epoch:
            self._context.ack(verified.delivery)
        else:
            self._happen(session, Cue.HEARD_AGAIN, verified=verified)

    def _learn(self, session: Session, *, verified: Verified) -> None:
        message = verified.message
        session.epoch, session.address = message.epoch, message.address
        session.learn(verified)
        self._context.keep(session, verified.delivery, message)
        if session.on_roll is OnRoll.ON_HOLD:
            self._arm(session)
        if session.request not in self._checking:
            self._hold(session)

    def _hold(self, session: Session) -> None:
        hold = Hold(session=session.session, master=self._context.config.master, request=session.request)
        self._context.send(hold, session.address)

    # asking Buildbot

    def _check(self, request: str) -> None:
        self._context.timers.set("check", request, self._context.now + RECHECK)
        if request not in self._checking:
            self._checking.add(request)
            self._context.emit(CheckRequest(request=request))

    def recheck(self, request: str) -> None:
        """Look `request` up (again); an answer that never came is no longer waited for."""
        self._checking.discard(request)
        if self.of(request):
            self._check(request)

    def checked(self, request: str, complete: bool, *, wanted: bool) -> None:
        """Buildbot's answer: nobody will ask for a complete request's sessions any more. `wanted`: it asked already."""
        self._checking.discard(request)
        if wanted:
            return
        for session in self.of(request):
            if complete:
                self._happen(session, Cue.COMPLETE, reason="its build request is complete")
            else:
                self._happen(session, Cue.NOT_COMPLETE)

    def _put_on_hold(self, session: Session) -> None:
        session.on_roll = OnRoll.ON_HOLD
        self._arm(session)
        self._hold(session)

    # ends

    def _arm(self, session: Session, *, not_before: float = 0.0) -> None:
        # a build that starts over may take hours to come to the step whose command this was
        of_a_step = "/" in session.request
        idle = session.worker is not None and not session.executes and not of_a_step
        due = session.since + (ORPHAN_IDLE if idle else ORPHAN_RUNNING)
        self._context.timers.set("orphan", session.session, max(due, not_before))

    def orphaned(self, session_id: str) -> None:
        """Its time is over: nobody asked for it (rule 12)."""
        session = self._sessions.get(session_id)
        if session is not None:
            self._happen(session, Cue.TIME_OVER, reason="nobody asked for its build request in time")

    def gone(self, session: Session) -> None:
        """Its agent says that it has it no more."""
        self._happen(session, Cue.GONE)

    def _refuse(self, session: Session, *, reason: str) -> None:
        self._take(session)
        self._context.verdicts.put(session.session, "given up")
        self._context.send(self._refusal(session.session, reason), session.address)
        self._context.let_go(session)

    def _forget(self, session: Session) -> None:
        self._take(session)
        self._context.verdicts.put(session.session, "given up")
        self._context.let_go(session)

    def _refusal(self, session: str, reason: str) -> Refuse:
        return Refuse(session=session, master=self._context.config.master, re="resume", reason=reason)

    def _take(self, session: Session) -> None:
        """It is no longer noted here: adopted, refused or gone."""
        session.on_roll = OnRoll.ABSENT
        self._sessions.pop(session.session, None)
        theirs = self._accounts.get(session.user, {})
        theirs.pop(session.session, None)
        if not theirs:
            self._accounts.pop(session.user, None)
        others = self._requests.get(session.request, {})
        others.pop(session.session, None)
        if not others:
            self._requests.pop(session.request, None)
            self._context.timers.set("check", session.request, None)
        self._context.timers.set("orphan", session.session, None)

    def adopt(self, request: str) -> Session | None:
        """The session of the highest run, taken out; the others are refused (rule 12). None: there is none.

        Of equal runs: the one that was granted last, one that told what it is, then the one that got furthest.
        """
        noted = self.of(request)
        if not noted:
            return None
        best = max(noted, key=_rank)
        for session in noted:
            if session is not best:
                reason = f"run {best.run} of this build request is held by agent {best.agent}"
                self._happen(session, Cue.OUTRANKED, reason=reason)
        self._happen(best, Cue.ADOPTED)
        return best

    # link

    def link_down(self) -> None:
        """What was delivered is void; the broker delivers it again."""
        for session in self._sessions.values():
            self._happen(session, Cue.LINK_DOWN)

    def _void(self, session: Session) -> None:
        session.delivery = None

    def clock_starts(self) -> None:
        """Alarms start again after the link was away; what is overdue gets the time of one look-up to resume."""
        for request in self._requests:
            self._context.timers.set("check", request, self._context.now + RECHECK)
        for session in self._sessions.values():
            self._happen(session, Cue.CLOCK_STARTS)

    def _arm_again(self, session: Session) -> None:
        self._arm(session, not_before=self._context.now + RECHECK)


def _rank(session: Session) -> tuple[int, int, bool, int, int, str]:
    """Of a request's sessions the one with the highest rank is adopted. What an agent says of itself comes last."""
    granted = session.proof.made if session.proof.kind == "grant" else 0
    executed = len(session.executing)
    return (session.run, granted, session.worker is not None, executed, session.epoch, session.session)


# ---- what becomes of a session

_ABSENT, _UNSURE, _ON_HOLD = OnRoll.ABSENT, OnRoll.UNSURE, OnRoll.ON_HOLD
_REFUSED = {_ABSENT: "refuse its resume"}


def _line(cue: Cue, *parts: Any) -> Line[OnRoll, Callable[..., None]]:
    """Of a cue that comes only to a session that is on the roll."""
    return Line(cue, (*parts, ignored("It is not on the roll", _ABSENT)))


TABLE: Table[OnRoll, Cue, Callable[..., None]] = table_of(
    [
        Line(
            Cue.NOTED,
            (
                row(NotedSessions._put, _ABSENT, to={_UNSURE: "look its request up, unless Buildbot has asked for it"}),
                ignored("It is on the roll", _UNSURE, _ON_HOLD),
            ),
        ),
        _line(Cue.HEARD_AGAIN, row(NotedSessions._learn, _UNSURE, _ON_HOLD, stays="answer hold")),
        _line(
            Cue.NOT_COMPLETE,
            row(NotedSessions._put_on_hold, _UNSURE, to={_ON_HOLD: "answer hold, for 5 min or 24 h"}),
            ignored("That is known", _ON_HOLD),
        ),
        _line(Cue.COMPLETE, row(NotedSessions._refuse, _UNSURE, _ON_HOLD, to=_REFUSED)),
        _line(
            Cue.TIME_OVER,
            ignored("Its time has not begun", _UNSURE),
            row(NotedSessions._refuse, _ON_HOLD, to=_REFUSED),
        ),
        _line(Cue.ADOPTED, row(NotedSessions._take, _UNSURE, _ON_HOLD, to={_ABSENT: "the request takes it"})),
        _line(Cue.OUTRANKED, row(NotedSessions._refuse, _UNSURE, _ON_HOLD, to=_REFUSED)),
        _line(Cue.GONE, row(NotedSessions._forget, _UNSURE, _ON_HOLD, to={_ABSENT: "forget it"})),
        _line(Cue.LINK_DOWN, row(NotedSessions._void, _UNSURE, _ON_HOLD, stays="")),
        _line(
            Cue.CLOCK_STARTS,
            ignored("Its time has not begun", _UNSURE),
            row(NotedSessions._arm_again, _ON_HOLD, stays=""),
        ),
    ],
    start=_ABSENT,
    states=OnRoll,
)
