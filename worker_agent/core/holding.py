"""How a session is held, reported, kept for a silent master, ended (rules 3, 6-9, 13, 17). Handlers."""

from __future__ import annotations

from contracts.messages import Accept, Grant, Hold, Later, Release, RollCall
from contracts.timing import SILENCE_BEFORE_RESUME
from worker_agent.core import claims, cues, events, runs
from worker_agent.core.actions import Agree, CloseSession, Contact
from worker_agent.core.inputs import KeeperLost, LinkDown, LinkUp, Stop
from worker_agent.core.session import KeeperState, Phase, Session
from worker_agent.core.state import AgentState

# ---- a grant


def granted(state: AgentState, session: Session, grant: Grant) -> None:
    """A claim is granted: HELD from now on."""
    if not _agreed(state, session, grant):
        return
    session.phase, session.since = Phase.HELD, state.now
    session.run_due = None
    if session.offer.kind == "build":
        state.report("build", session)
    _follow(state, session, grant, news=True)


def granted_again(state: AgentState, session: Session, grant: Grant) -> None:
    """A resume is granted, or an `accept` was not heard."""
    if not _agreed(state, session, grant):
        return
    news = not session.granted or (session.run, session.ticket) != (grant.run, grant.ticket)
    _follow(state, session, grant, news=news)


def _agreed(state: AgentState, session: Session, grant: Grant) -> bool:
    """Rule 24: the session has its keys, where its offer asks for a seal. False: it ended, or it would be read."""
    if not session.offer.seal:
        return True
    if grant.seal is None or state.link is None:
        detail = f"master {session.master} granted it without a seal, which its offer asks for"
        state.alarm("no_seal", detail, session)
        state.end(session, "give back", "refused", detail, tell=True)
        return False
    request, address = session.offer.request, state.link.address
    state.do(Agree(grant=grant, user=session.owner.user, request=request, address=address))
    return True


def _follow(state: AgentState, session: Session, grant: Grant, *, news: bool) -> None:
    """Held for this incarnation; its journal from `stored` on (rule 13). `news`: the meta file does not say so yet."""
    session.heard(state.now)
    session.contact_at = state.now
    if grant.incarnation != session.incarnation:
        known = {grant.incarnation} if session.executed else {grant.incarnation, None}
        opens = not session.granted and session.claimed_from in known
        session.followed = set(session.commands) if opens else set()
        session.incarnation = grant.incarnation
    session.granted, session.run, session.ticket = True, grant.run, grant.ticket
    if not events.stored(state, session, grant.stored, rewind=True):
        return
    if session.keeper is KeeperState.NONE and session.phase is Phase.HELD:
        claims.open_session(state, session)
    elif news:
        state.persist(session)
    if session.offer.fencing is not None and session.can_run:
        state.do(Contact(session=session.id))
    state.publish(Accept(**state.claimant(session), incarnation=grant.incarnation), session.master, "claims")
    runs.run_offer(state, session)
    events.publish(state, session)
    for n in sorted(session.pulls):
        state.say_pull(session, n, state.now)


# ---- other answers


def claim_refused(state: AgentState, session: Session, cue: cues.ClaimRefused) -> None:
    """Rule 6: the claim is no longer pending."""
    session.heard(state.now)
    state.say_resume(session, state.now)


def resume_refused(state: AgentState, session: Session, cue: cues.ResumeRefused) -> None:
    """Rule 8: a refused resume gives its offer back."""
    state.end(session, "give back", "refused", cue.reason)


def patience(state: AgentState, session: Session, message: Later | Hold) -> None:
    """Its bridge knows of it, and asks it to wait."""
    state.heard_holder(session)


def release(state: AgentState, session: Session, message: Release) -> None:
    """Its work is done, or not wanted."""
    state.heard_holder(session)
    state.end(session, "ack", "released")


# ---- resumes


def link_up(state: AgentState, session: Session, cue: LinkUp) -> None:
    """Tell its bridge that it is there, and all that was spooled meanwhile."""
    _resume_afresh(state, session)
    events.publish(state, session)


def link_lost(state: AgentState, session: Session, cue: LinkDown) -> None:
    """What runs, runs on and is spooled."""
    session.lose_link()


def roll_call(state: AgentState, session: Session, message: RollCall) -> None:
    """Its master asks who is there."""
    _resume_afresh(state, session)


def _resume_afresh(state: AgentState, session: Session) -> None:
    session.resume_delay = SILENCE_BEFORE_RESUME
    state.say_resume(session, state.now)


def resume_again(state: AgentState, session: Session, cue: cues.ResumeDue) -> None:
    """Rule 9: nothing was heard; each pause is longer than the last one."""
    state.say_resume(session, state.now)


# ---- ends


def keeper_lost(state: AgentState, session: Session, lost: KeeperLost) -> None:
    """Once all commands of a command offer have completed it does not matter: the journal has everything."""
    if session.has_finished:
        session.keeper_ended()
    else:
        claims.keeper_lost(state, session, lost)


def fence(state: AgentState, session: Session, cue: cues.FencingDue) -> None:
    """Its master may have given it to another: what runs must not go on."""
    assert session.offer.fencing is not None, "only such are due"
    who = "operator's program" if session.is_direct else "master"
    detail = f"no contact with {who} {session.master} for {session.offer.fencing:g} s (strict fencing)"
    state.alarm("session_fenced", detail, session)
    state.end(session, "give back", "killed", detail, tell=True)


def idle(state: AgentState, session: Session, cue: cues.IdleDue) -> None:
    """Nothing is lost with it, and its slot is free."""
    detail = f"no command was started in it, and master {session.master} is silent"
    state.end(session, "give back", "killed", detail, tell=True)


def stop(state: AgentState, session: Session, cue: Stop) -> None:
    """The agent stops at once."""
    state.end(session, "give back", "killed", "the agent was stopped", tell=True)


def set_aside(state: AgentState, session: Session, cue: cues.AsideDue) -> None:
    """Rule 17: the slot is free; only the events are kept, until their master wants them."""
    session.phase, session.since = Phase.ASIDE, state.now
    session.keeper_ended()
    state.persist(session)
    state.do(CloseSession(session=session.id, keep_journal=True))
    state.settle(session.delivery, "ack")
    session.delivery = None
