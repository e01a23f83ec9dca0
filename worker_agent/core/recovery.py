"""Sessions that an earlier process of this agent left behind ("start with a journal" in the agent's table)."""

from __future__ import annotations

from worker_agent.core import events, runs
from worker_agent.core.actions import CloseSession
from worker_agent.core.inputs import Recovered
from worker_agent.core.session import KeeperState, Phase, Session, commands_of
from worker_agent.core.state import AgentState
from worker_agent.core.window import EventWindow


def recover(state: AgentState, found: Recovered) -> None:
    """Take up one session again: alive, it resumes at link-up; dead, its bridge is told so then.

    A dead one whose work is done (all commands of a command offer completed) has lost nothing and resumes, too.
    The whole journal is read once, to know what was started and what has completed. A journal with holes cannot be
    replayed: its session is lost.
    """
    meta, session = found.meta, _as_it_was(found, state.now)
    if not meta.resumes and not meta.aside:  # a claim; whoever claims the offer next starts afresh
        state.do(CloseSession(session=session.id))
        state.note_ended(session, "unknown", "claimed before the agent restarted", tell=False)
        return
    state.sessions[session.id] = session
    session.journalled = found.last_seq
    # What meta says was started and the journal does not, never reached the keeper: it starts when its turn comes.
    events.read_on(state, session, run=False, told=True)
    complete = session.window.last == found.last_seq
    if complete and (session.can_run or session.has_finished):
        runs.run_offer(state, session)
        return
    detail = (
        "its commands ended while the agent was down"
        if complete
        else f"the journal of {found.last_seq} events can be read up to {session.window.last} only"
    )
    state.alarm("session_lost", detail, session)
    state.end(session, "give back", "lost", detail, tell=True)


def _as_it_was(found: Recovered, now: float) -> Session:
    """As its meta file says, before its journal is read."""
    meta = found.meta
    return Session(
        id=meta.session,
        offer=meta.offer,
        slot=meta.slot,
        phase=Phase.ASIDE if meta.aside else Phase.HELD,
        since=now,
        window=EventWindow(now),
        keeper=KeeperState.ALIVE if found.alive and not meta.aside else KeeperState.ENDED,
        run=meta.offer.run if meta.run is None else meta.run,
        granted=meta.granted,
        ticket=meta.ticket or meta.offer.ticket,
        commands=commands_of(meta.offer),
        heard_at=now,
        contact_at=now,
        resume_due=now,
    )
