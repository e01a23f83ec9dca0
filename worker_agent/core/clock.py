"""What falls due for a session, and when. Each time is in the machine's seconds; None: it does not fall due."""

from __future__ import annotations

from collections.abc import Callable

from contracts.timing import ASIDE_AFTER, ORPHAN_IDLE
from worker_agent.core import cues
from worker_agent.core.availability import Order
from worker_agent.core.session import Phase, Session
from worker_agent.core.state import AgentState

When = Callable[[AgentState, Session], "float | None"]


def fencing_at(state: AgentState, session: Session) -> float | None:
    """Strict fencing: when what runs must be dead. An operator's session ends with it (rule 26)."""
    if session.offer.fencing is None or session.phase is not Phase.HELD:
        return None
    if not session.is_direct and all(command.completed for command in session.commands.values()):
        return None
    return session.contact_at + session.offer.fencing


def idle_at(state: AgentState, session: Session) -> float | None:
    """Rule 17: granted, nothing was executed, and its master is silent: nothing is lost with it.

    Whoever drains the agent waits for what has a meaning. Otherwise as long as a bridge waits for such a one.
    """
    if session.phase is not Phase.HELD or session.executed:
        return None
    patience = ORPHAN_IDLE if state.order is Order.WORK else ASIDE_AFTER
    since = max(heard_at(state, session), session.since)
    return max(since, state.link_since if state.link is not None else since) + patience


def heard_at(state: AgentState, session: Session) -> float:
    """When its master was heard last, of whatever."""
    return max(state.masters.heard_at(session.owner) or session.since, session.heard_at)


def aside_at(state: AgentState, session: Session) -> float | None:
    """Rule 17: finished, all events confirmed, and the master silent for 10 s, as far as this link can tell."""
    if session.phase is not Phase.HELD or session.finished_at is None or not session.window.all_confirmed:
        return None
    heard = state.masters.heard_at(session.owner)
    return max(session.finished_at, state.link_since, heard or session.since) + ASIDE_AFTER


def _told(when: Callable[[Session], float | None]) -> When:
    """Of what is told to a bridge: only while the link is up."""
    return lambda state, session: when(session) if state.link is not None and session.is_resumed else None


#: What may fall due, in the order in which it is done.
DUE: tuple[tuple[cues.Due, When], ...] = (
    (cues.AnswerDue(), lambda state, session: session.answer_due),
    (cues.RunDue(), lambda state, session: session.run_due),
    (cues.IdleDue(), idle_at),
    (cues.ResumeDue(), _told(lambda session: session.resume_due)),
    (cues.ResendDue(), _told(lambda session: session.window.resend_at(session.heard_at))),
    (cues.PullDue(), _told(lambda session: min((due for _, due in session.pulls.values()), default=None))),
)
#: … and after what was published upon that.
AFTER_EVENTS: tuple[tuple[cues.Due, When], ...] = (
    (cues.AsideDue(), lambda state, session: None if state.link is None else aside_at(state, session)),
)
#: Before an input is looked at: a word that waited while this machine was suspended is no contact.
FIRST: tuple[tuple[cues.Due, When], ...] = ((cues.FencingDue(), fencing_at),)


def deadline(state: AgentState) -> float | None:
    """When the next thing falls due for any session, or for the agent."""
    times = [when(state, session) for session in state.sessions.values() for _, when in (*FIRST, *DUE, *AFTER_EVENTS)]
    return min((time for time in (*times, state.fitness.paused_until) if time is not None), default=None)
