"""Sessions that agents hold and that nobody has asked for (yet): the roll after a restart (rules 5, 11, 12).

resume ──► noted ──► RequestChecked: complete ────────────────► refused
             │                       not complete ──► on hold ──┬─► Seek: the highest run is adopted, others refused
             │                                                  ├─► 5 min without, 24 h with a command: given up
             └─ checked again every 30 s ◄──────────────────────┴─► gone: forgotten
"""

from __future__ import annotations

from collections.abc import Iterator

from contracts.messages import Hold, Refuse
from contracts.timing import ORPHAN_IDLE, ORPHAN_RUNNING
from master_bridge.core.actions import CheckRequest
from master_bridge.core.context import Context
from master_bridge.core.records import Session, Verified, session_of

#: A request whose sessions wait for Buildbot is looked up this often: it may have been cancelled meanwhile.
RECHECK = 30.0
#: Most sessions noted at a time, so that a broken agent cannot fill our memory with invented ones.
NOTED_MAX = 10_000
#: … and most of one account's, in number and in bytes. An agent has as many sessions as slots; 100 agents that share an
#: account are more than anybody enrolled so.
ACCOUNT_SESSIONS = 1_000
ACCOUNT_BYTES = 32 * 1024 * 1024


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

    def get(self, session: str) -> Session | None:
        return self._sessions.get(session)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions.values()))

    def of(self, request: str) -> tuple[Session, ...]:
        return tuple(self._requests.get(request, {}).values())

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
        self._sessions[session.session] = session
        self._requests.setdefault(session.request, {})[session.session] = session
        self._accounts.setdefault(session.user, {})[session.session] = session
        if wanted:
            self._hold(session)
        else:
            self._check(session.request)

    def again(self, session: Session, verified: Verified) -> None:
        """A noted session is heard of again; the highest epoch wins (rule 2)."""
        context, message, delivery = self._context, verified.message, verified.delivery
        if message.epoch < session.epoch:
            context.ack(delivery)
            return
        session.epoch, session.address = message.epoch, message.address
        session.learn(verified)
        context.keep(session, delivery, message)
        if session.on_hold:
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
                self.refuse(session, "its build request is complete")
            elif not session.on_hold:
                session.on_hold = True
                self._arm(session)
                self._hold(session)

    # ends

    def _arm(self, session: Session, *, not_before: float = 0.0) -> None:
        idle = session.worker is not None and not session.executes
        due = session.since + (ORPHAN_IDLE if idle else ORPHAN_RUNNING)
        self._context.timers.set("orphan", session.session, max(due, not_before))

    def orphaned(self, session_id: str) -> None:
        """Its time is over: nobody asked for it (rule 12)."""
        session = self._sessions.get(session_id)
        if session is not None:
            self.refuse(session, "nobody asked for its build request in time")

    def refuse(self, session: Session, reason: str) -> None:
        context = self._context
        self.take(session)
        context.verdicts.put(session.session, "given up")
        context.send(self._refusal(session.session, reason), session.address)
        context.let_go(session)

    def _refusal(self, session: str, reason: str) -> Refuse:
        return Refuse(session=session, master=self._context.config.master, re="resume", reason=reason)

    def take(self, session: Session) -> None:
        """It is no longer noted here: adopted, refused or gone."""
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
                self.refuse(session, f"run {best.run} of this build request is held by agent {best.agent}")
        self.take(best)
        best.on_hold = False
        return best

    # link

    def link_down(self) -> None:
        for session in self._sessions.values():
            session.delivery = None

    def resume_clock(self) -> None:
        """Alarms start again after the link was away; what is overdue gets the time of one look-up to resume."""
        soon = self._context.now + RECHECK
        for request in self._requests:
            self._context.timers.set("check", request, soon)
        for session in self._sessions.values():
            if session.on_hold:
                self._arm(session, not_before=soon)


def _rank(session: Session) -> tuple[int, int, bool, int, int, str]:
    """Of a request's sessions the one with the highest rank is adopted. What an agent says of itself comes last."""
    granted = session.proof.made if session.proof.kind == "grant" else 0
    executed = len(session.executing)
    return (session.run, granted, session.worker is not None, executed, session.epoch, session.session)
