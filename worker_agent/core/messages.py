"""What the bridges say: who may say it, and to which session it happens (rules 3, 5-9, 22)."""

from __future__ import annotations

from typing import Union

from contracts.machines.exhaustive import assert_never
from contracts.messages import (
    Accept,
    Alive,
    AnyMessage,
    Catalogue,
    Claim,
    Data,
    Event,
    Gone,
    Grant,
    Hold,
    Interrupt,
    Later,
    Marker,
    Move,
    Offer,
    Ping,
    Pull,
    Refuse,
    Release,
    Replay,
    Resume,
    RollCall,
    Sealed,
    Start,
    Status,
    Steer,
    Stored,
    Work,
)
from contracts.timing import REPLAY_INTERVAL
from contracts.trust.sealing import OF_MASTER
from worker_agent.core import cues
from worker_agent.core.actions import Reject
from worker_agent.core.ended import EndedSession
from worker_agent.core.masters import MasterId
from worker_agent.core.session import Session, new_session
from worker_agent.core.state import AgentState
from worker_agent.core.transitions import happen

#: Messages of one session that name their master …
_NAMED = (Grant, Refuse, Later, Hold)
Named = Union[Grant, Refuse, Later, Hold]
#: … those that name the incarnation of the last grant instead (rule 3) …
_HOLDERS = (Start, Interrupt, Ping, Stored, Replay, Release, Data)
FromHolder = Union[Start, Interrupt, Ping, Stored, Replay, Release, Data]
#: … those for the edge, which turns them into inputs of their own …
_FOR_THE_EDGE = (Steer, Move, Catalogue)
#: … and those that no bridge says to an agent.
_NOT_FOR_AGENTS = (Claim, Resume, Accept, Gone, Event, Pull, Marker, Status, Work)


def received(state: AgentState, message: AnyMessage, user: str, *, sealed: bool) -> None:
    """Any message from the control queue, of broker user `user`. What no bridge of ours says is rejected.

    `sealed`: it came sealed and was opened; a message of type `sealed` is one that could not be.
    """
    if state.link is None:
        return  # of a link that is gone: there is no address to answer from
    session = state.sessions.get(getattr(message, "session", ""))
    if session is not None and session.owner.user != user:
        _not_theirs(state, message, MasterId(getattr(message, "master", "unnamed"), user), session)
    elif isinstance(message, Sealed):
        _not_opened(state, session, message)
    elif session is not None and session.offer.seal and isinstance(message, OF_MASTER) and not sealed:
        state.alarm("seal_missing_or_invalid", f"a {message.t} came in plain text, and the session has a seal", session)
    elif isinstance(message, (RollCall, Alive)):
        _broadcast(state, message, MasterId(message.master, user))
    elif isinstance(message, Offer):
        _offer(state, message, user)
    elif isinstance(message, _NAMED):
        _named(state, session, message, MasterId(message.master, user))
    elif isinstance(message, _HOLDERS):
        _holders(state, session, message, user)
    elif isinstance(message, _NOT_FOR_AGENTS):
        state.do(Reject(message=message, reason=f"a message of type {message.t!r} is not for an agent"))
    elif not isinstance(message, _FOR_THE_EDGE):
        assert_never(message)


def _broadcast(state: AgentState, message: RollCall | Alive, master: MasterId) -> None:
    state.masters.announced(master)
    state.heard_master(master, state.now, message.incarnation)
    if isinstance(message, RollCall):
        for session in list(state.sessions.values()):
            if session.owner == master:
                happen(state, session, message)


def _offer(state: AgentState, offer: Offer, user: str) -> None:
    """Rule 26: from an operator, who waits for this agent and no other. What else is offered comes from a queue."""
    if offer.user != user:
        state.do(Reject(message=offer, reason=f"user {user} told an offer of user {offer.user}"))
    elif not offer.direct or offer.kind != "build" or offer.fencing is None:
        state.do(Reject(message=offer, reason="an offer that is told to an agent is direct, a build and has a fencing"))
    else:
        same = (session for session in state.sessions.values() if session.serves(offer))
        happen(state, next(same, None) or new_session(offer, state.now), cues.OfferTold())


def _named(state: AgentState, session: Session | None, message: Named, master: MasterId) -> None:
    if session is not None and session.owner != master:
        _not_theirs(state, message, master, session)
        return
    state.heard_master(master, state.now, message.incarnation if isinstance(message, Grant) else None)
    if session is None:
        _unknown(state, message.session, master.name)
    elif not isinstance(message, Refuse):
        happen(state, session, message)
    elif message.re == "resume":
        happen(state, session, cues.ResumeRefused(reason=message.reason))
    else:
        happen(state, session, cues.ClaimRefused(reason=message.reason))


def _holders(state: AgentState, session: Session | None, message: FromHolder, user: str) -> None:
    master = state.masters.master_of(message.incarnation, user)
    if master is not None:
        state.heard_master(master, state.now)
    if session is None:
        _unknown(state, message.session, master.name if master is not None else None)
    elif master not in (None, session.owner) and message.incarnation != session.incarnation:
        # an incarnation that granted the session is its master's, whoever broadcast that name before it
        _not_theirs(state, message, master or session.owner, session)
    elif _is_for(state, session, message):
        happen(state, session, message)


def _not_opened(state: AgentState, session: Session | None, message: Sealed) -> None:
    """What was in it is missing: after a new grant the bridge says again what counts (at most once a second)."""
    if session is None:
        _unknown(state, message.session, None)
    elif session.is_resumed:
        session.unopened = True
        session.resume_due = min(session.resume_due, state.now + REPLAY_INTERVAL)


def _not_theirs(state: AgentState, message: AnyMessage, who: MasterId, session: Session) -> None:
    owner = session.owner
    reason = (
        f"master {who.name} (user {who.user}) spoke of session {session.id}, "
        f"which is master {owner.name}'s (user {owner.user})"
    )
    state.do(Reject(message=message, reason=reason))


def _is_for(state: AgentState, session: Session, message: FromHolder) -> bool:
    """Rule 3: the incarnation of the last grant is obeyed, no other.

    Save that a `release` may answer a resume: then it comes from an incarnation that has not granted the session
    to this process, or at all (Stop before the bridge adopted it).
    """
    if message.incarnation == session.incarnation:
        return True
    answers = session.incarnation is None or message.incarnation == state.masters.incarnation(session.owner)
    return isinstance(message, Release) and session.is_resumed and answers


def _unknown(state: AgentState, session: str, master: str | None) -> None:
    """Rule 7: a message for a session that the agent does not have is answered `gone`."""
    ended = state.ended_sessions.get(session)
    if ended is not None:
        state.say_gone(ended)
    elif master is not None:
        state.say_gone(
            EndedSession(
                session=session,
                master=master,
                request="unknown",
                reason="unknown",
                detail="never had",
                ticket=None,
                owed=False,
            )
        )
