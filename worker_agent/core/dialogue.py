"""What the bridges say, and what the agent makes of it (rules 3, 5-9, 13, 14; the agent's state table)."""

from __future__ import annotations

from typing import Union

from contracts.messages import (
    Accept,
    Alive,
    AnyMessage,
    Data,
    Grant,
    Hold,
    Interrupt,
    Later,
    Ping,
    Refuse,
    Release,
    Replay,
    RollCall,
    Start,
    Steer,
    Stored,
)
from contracts.timing import SILENCE_BEFORE_RESUME
from worker_agent.core.actions import Contact, Reject
from worker_agent.core.commands import Commands
from worker_agent.core.farewells import Farewell
from worker_agent.core.intake import Intake
from worker_agent.core.masters import MasterId
from worker_agent.core.session import Phase, Session
from worker_agent.core.state import AgentState

#: Messages of one session that name their master …
_NAMED = (Grant, Refuse, Later, Hold)
Named = Union[Grant, Refuse, Later, Hold]
#: … and those that name the incarnation of the last grant instead (rule 3).
_HOLDERS = (Start, Interrupt, Ping, Stored, Replay, Release, Data)
FromHolder = Union[Start, Interrupt, Ping, Stored, Replay, Release, Data]


class Dialogue:
    """One message in; the session, if it is one of ours, does the rest."""

    def __init__(self, state: AgentState, intake: Intake, commands: Commands) -> None:
        self._state = state
        self._intake = intake
        self._commands = commands

    def received(self, message: AnyMessage, user: str, now: float) -> None:
        """Any message from the control queue, of broker user `user`. What no bridge of ours says is rejected."""
        if self._state.link is None:
            return  # of a link that is gone: there is no address to answer from
        session = self._state.sessions.get(getattr(message, "session", ""))
        if session is not None and session.owner.user != user:
            self._not_theirs(message, MasterId(getattr(message, "master", "unnamed"), user), session)
        elif isinstance(message, (RollCall, Alive)):
            master = MasterId(message.master, user)
            self._state.masters.announced(master)
            self._state.heard_master(master, now, message.incarnation)
            if isinstance(message, RollCall):
                self._roll_call(master, now)
        elif isinstance(message, _NAMED):
            self._named(session, message, MasterId(message.master, user), now)
        elif isinstance(message, _HOLDERS):
            self._holders(session, message, user, now)
        elif not isinstance(message, Steer):  # which the edge turns into inputs of their own
            self._state.do(Reject(message=message, reason=f"a message of type {message.t!r} is not for an agent"))

    def _named(self, session: Session | None, message: Named, master: MasterId, now: float) -> None:
        if session is not None and session.owner != master:
            self._not_theirs(message, master, session)
            return
        self._state.heard_master(master, now, message.incarnation if isinstance(message, Grant) else None)
        if session is None:
            self._unknown(message.session, master.name)
        elif isinstance(message, Grant):
            self._grant(session, message, now)
        elif isinstance(message, Refuse):
            self._refuse(session, message, now)
        else:
            self._patience(session, message, now)

    def _holders(self, session: Session | None, message: FromHolder, user: str, now: float) -> None:
        master = self._state.masters.master_of(message.incarnation, user)
        if master is not None:
            self._state.heard_master(master, now)
        if session is None:
            self._unknown(message.session, master.name if master is not None else None)
        elif master not in (None, session.owner) and message.incarnation != session.incarnation:
            # an incarnation that granted the session is its master's, whoever broadcast that name before it
            self._not_theirs(message, master or session.owner, session)
        elif self._heeds(session, message):
            self._heard(session, now)
            self._from_holder(session, message, now)

    def _not_theirs(self, message: AnyMessage, who: MasterId, session: Session) -> None:
        owner = session.owner
        reason = (
            f"master {who.name} (user {who.user}) spoke of session {session.id}, "
            f"which is master {owner.name}'s (user {owner.user})"
        )
        self._state.do(Reject(message=message, reason=reason))

    def _heeds(self, session: Session, message: FromHolder) -> bool:
        """Rule 3: the incarnation of the last grant is obeyed, no other.

        Save that a `release` may answer a resume: then it comes from an incarnation that has not granted the session
        to this process, or at all (Stop before the bridge adopted it).
        """
        if message.incarnation == session.incarnation:
            return True
        answers = session.incarnation is None or message.incarnation == self._state.masters.incarnation(session.owner)
        return isinstance(message, Release) and session.is_resumed and answers

    def _heard(self, session: Session, now: float) -> None:
        session.heard(now)
        session.contact_at = now
        if session.offer.fencing is not None and session.keeper:
            self._state.do(Contact(session=session.id))

    def _unknown(self, session: str, master: str | None) -> None:
        """Rule 7: a message for a session that the agent does not have is answered `gone`."""
        farewell = self._state.farewells.get(session)
        if farewell is not None:
            self._state.say_gone(farewell)
        elif master is not None:
            self._state.say_gone(
                Farewell(
                    session=session,
                    master=master,
                    request="unknown",
                    reason="unknown",
                    detail="never had",
                    ticket=None,
                    owed=False,
                )
            )

    def _roll_call(self, master: MasterId, now: float) -> None:
        for session in list(self._state.sessions.values()):
            if session.owner == master and session.is_resumed:
                session.resume_delay = SILENCE_BEFORE_RESUME
                self._state.say_resume(session, now)

    # ---- answers to claims and resumes

    def _grant(self, session: Session, grant: Grant, now: float) -> None:
        """HELD from now on, for this incarnation; its journal from `stored` on (rule 13)."""
        state, nothing_executed = self._state, not session.executed
        session.heard(now)
        session.contact_at = now
        if grant.incarnation != session.incarnation:
            known = {grant.incarnation, None} if nothing_executed else {grant.incarnation}
            opens = not session.granted and session.claimed_from in known
            session.followed = set(session.commands) if opens else set()
            session.incarnation = grant.incarnation
        news = session.is_pending or not session.granted or (session.run, session.ticket) != (grant.run, grant.ticket)
        session.granted, session.run, session.ticket = True, grant.run, grant.ticket
        if session.is_pending:
            session.phase, session.since = Phase.HELD, now
            session.claim_token = session.run_due = None
            if session.offer.kind == "build":
                state.report("build", session)
        if not self._commands.stored(session, grant.stored, now, rewind=True):
            return
        if not session.opened and session.phase is Phase.HELD:
            self._intake.open_session(session)
        elif news:
            state.persist(session)
        if session.offer.fencing is not None and session.keeper:
            state.do(Contact(session=session.id))
        state.publish(Accept(**state.claimant(session), incarnation=grant.incarnation), session.master, "claims")
        self._commands.run_offer(session)
        self._commands.publish_events(session, now)
        for n in sorted(session.pulls):
            state.say_pull(session, n, now)

    def _refuse(self, session: Session, refuse: Refuse, now: float) -> None:
        if refuse.re == "resume":
            if session.is_resumed:  # rule 8: a refused resume gives its offer back
                self._state.end(session, "give back", "refused", refuse.reason)
            # a claim never resumed under this id: not for us, its own answer comes
        elif session.is_pending:  # rule 8: a refused claim acknowledges its offer
            self._state.end(session, "ack", "refused", refuse.reason)
        else:  # rule 6: the claim is no longer pending
            session.heard(now)
            self._state.say_resume(session, now)

    def _patience(self, session: Session, message: Later | Hold, now: float) -> None:
        if session.is_pending:
            if isinstance(message, Later):
                self._state.end(session, "park", "unknown")
        else:
            self._heard(session, now)

    # ---- messages of the incarnation that holds the session

    def _from_holder(self, session: Session, message: FromHolder, now: float) -> None:
        if isinstance(message, Start):
            self._commands.start(session, message.command, now)
        elif isinstance(message, Interrupt):
            self._commands.interrupt(session, message.n, message.reason)
        elif isinstance(message, Data):
            self._commands.data(session, message)
        elif isinstance(message, Release):
            self._state.end(session, "ack", "released")
        else:
            rewind = isinstance(message, Replay)
            if self._commands.stored(session, message.stored, now, rewind=rewind):
                self._commands.publish_events(session, now)
