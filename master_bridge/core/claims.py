"""What a claim, a resume or an accept does to the request that it is for."""

from __future__ import annotations

from master_bridge.core.cues import EarlierAccept, HolderAccept, HolderClaim, HolderResume, NewClaim, NewResume
from master_bridge.core.parts import Parts
from master_bridge.core.placing import NO_KEY, lacks_key
from master_bridge.core.records import WorkUnit

# ---- of a session that the request does not have: only what we offered and still want is granted, and what runs


def refuse_claim(parts: Parts, cue: NewClaim, reason: str) -> None:
    """Nothing was executed yet, or its agent resumes when refused."""
    parts.placing.refuse_claim(cue.verified.message, reason, cue.verified.delivery)


def claim(parts: Parts, work: WorkUnit, cue: NewClaim) -> None:
    """WAITING."""
    placing, verified = parts.placing, cue.verified
    if verified.message.offer not in work.offers:
        refuse_claim(parts, cue, "a newer offer has replaced this one")
    elif placing.has_key(work, verified):
        if placing.window_open and work.seek.kind == "command":
            placing.collect(work, verified)
        else:
            placing.take(work, verified)


def resume(parts: Parts, work: WorkUnit, cue: NewResume) -> None:
    """WAITING."""
    if parts.placing.has_key(work, cue.verified):
        parts.placing.take(work, cue.verified)


def note(parts: Parts, work: WorkUnit | None, cue: NewResume | EarlierAccept) -> None:
    """NONE, WINDOW."""
    parts.roll.note(cue.verified, wanted=work is not None)


def call_roll(parts: Parts, cue: EarlierAccept) -> None:
    """It is late. Its agent, if it lives, resumes and says what it is."""
    parts.placing.call_roll_at(cue.verified.message.address)
    parts.context.ack(cue.verified.delivery)


def refuse_resume(parts: Parts, cue: NewResume | EarlierAccept) -> None:
    verified = cue.verified
    parts.placing.refuse_resume(verified.message, "another session holds its build request", verified.delivery)


# ---- of the request's own session


def holder_claim(parts: Parts, work: WorkUnit, cue: HolderClaim) -> None:
    """A claim that Buildbot's attachment outran needs no other grant, unless it is of a new connection."""
    if _is_there(parts, work, cue):
        _learn(parts, work, cue, grant=cue.newer or not work.attached)


def holder_resume(parts: Parts, work: WorkUnit, cue: HolderResume) -> None:
    if _is_there(parts, work, cue):
        _learn(parts, work, cue, grant=True)


def holder_accept(parts: Parts, work: WorkUnit, cue: HolderAccept) -> None:
    if not _is_there(parts, work, cue):
        return
    if cue.verified.message.incarnation != parts.context.config.incarnation:  # type: ignore[union-attr]  # an accept
        _learn(parts, work, cue, grant=True)
    elif work.granted.worker is not None:
        parts.holding.accepted(work, work.granted)


def _is_there(parts: Parts, work: WorkUnit, cue: HolderClaim | HolderResume | HolderAccept) -> bool:
    """Hold the message (rule 11). False: it was sent before its agent was lost; a newer epoch ends that (rule 9)."""
    parts.context.keep(work.granted, cue.verified.delivery, cue.verified.message)
    if cue.newer:
        parts.presence.moved(work, cue.verified.message)
        parts.context.changed(work)
    elif work.missing:
        return False
    else:
        parts.presence.suspect_answered(work, work.granted)
    return True


def _learn(parts: Parts, work: WorkUnit, cue: HolderClaim | HolderResume | HolderAccept, *, grant: bool) -> None:
    session = work.granted
    session.learn(cue.verified)
    if lacks_key(work, session):
        parts.holding.give_up(work, session, NO_KEY)
    elif grant:
        parts.placing.grant(work, session)
