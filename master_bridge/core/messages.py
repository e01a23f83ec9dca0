"""What agents say: who may say it, and to which request or session it happens.

A message is for a session that we granted, that is noted on the roll, or that we do not know. Whoever speaks
for a session of another broker user's, shows no ticket, or sends what only a bridge sends, changes nothing: what it
said goes to `bb.dead`.
"""

from __future__ import annotations

from typing import Union

from contracts.errors import BadName
from contracts.machines.exhaustive import assert_never
from contracts.messages import (
    Accept,
    Alive,
    Catalogue,
    Claim,
    Claimant,
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
from contracts.topology import address_user
from contracts.trust.tickets import Proof
from master_bridge.core.cues import (
    EarlierAccept,
    EventCame,
    HolderAccept,
    HolderClaim,
    HolderGone,
    HolderResume,
    NewClaim,
    NewResume,
    OlderAddressSpoke,
    PullCame,
)
from master_bridge.core.inputs import MessageReceived
from master_bridge.core.parts import Parts
from master_bridge.core.records import Session, Verified, WorkUnit
from master_bridge.core.transitions import happen

#: What a bridge is told …
ForBridges = Union[Claim, Resume, Accept, Gone, Event, Pull, Marker]
#: … and what it says itself, and what others say to each other.
_NOT_FOR_BRIDGES = (
    Offer, Grant, Refuse, Later, Hold, Start, Interrupt, Ping, Stored, Replay, Release, Data, Sealed, RollCall, Alive,
    Status, Catalogue, Work, Steer, Move,
)  # fmt: skip


class Messages:
    """Reads each delivery of the claims and the events queue, and acknowledges it at its time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._context = parts.context

    def read(self, received: MessageReceived) -> int | None:
        """Handle one delivery. Returns the number of a marker of ours that came back, else None."""
        message, user, delivery = received.message, received.user, received.delivery
        if isinstance(message, _NOT_FOR_BRIDGES):
            self._context.reject(delivery, f"a message of type {message.t!r} is not for a bridge", user)
        elif (reason := self._objection(message, user)) is not None:
            self._context.reject(delivery, reason, user)
        elif isinstance(message, Marker):
            self._context.ack(delivery)
            if message.incarnation == self._context.config.incarnation:
                return message.k
        elif isinstance(message, (Claim, Resume, Accept)):
            proof = self._proof(message, user)
            if proof is None:
                reason = f"it shows no ticket of this master for a session {message.session} of {message.request}"
                self._context.reject(delivery, reason, user)
            else:
                verified = Verified(message=message, user=user, delivery=delivery, proof=proof, size=received.size)
                self._claimant(verified)
        elif isinstance(message, Gone):
            self._gone(delivery, message, user)
        elif isinstance(message, (Event, Pull)):
            self._of_session(delivery, message)
        else:
            assert_never(message)
        return None

    # who may say it

    def _objection(self, message: ForBridges, user: str) -> str | None:
        """Why this message is not to be believed, for a header of `bb.dead`; None: it is in order."""
        config = self._context.config
        if isinstance(message, Marker):
            if user != config.user:
                return f"user {user} sent a marker: only this bridge sends markers, to itself"
            return None
        if isinstance(message, (Event, Pull)):
            return self._not_theirs(message.session, user)
        if message.master != config.master:
            return f"it is for master {message.master!r}, this is {config.master!r}"
        try:
            addressee = address_user(message.address)
        except BadName as error:
            return str(error)
        if addressee != user:
            return f"user {user} gave the address {message.address}, which is user {addressee}'s"
        objection = self._not_theirs(message.session, user)
        if objection is not None:
            return objection
        session = self._known(message.session)
        if session is None:
            return None
        if session.request != message.request:
            return f"session {message.session} is one of request {session.request}, not {message.request}"
        if isinstance(message, Claimant) and message.instance != session.instance:
            return f"session {message.session} is one of instance {session.instance}, not {message.instance}"
        return None

    def _proof(self, message: Claim | Resume | Accept, user: str) -> Proof | None:
        """What its ticket proves (rule 21), if that is what such a message must show; None: nothing.

        Only a grant makes a session that resumes, save that a command's may run before one (rule 15).
        """
        proof = self._context.config.tickets.proves(
            message.ticket, request=message.request, session=message.session, user=user
        )
        if proof is None or proof.run != message.run:
            return None
        if isinstance(message, Claim):
            enough = proof.kind != "grant"
        elif isinstance(message, Resume):
            enough = proof.kind != "build"
        else:
            enough = proof.kind == "grant"
        return proof if enough else None

    def _not_theirs(self, session_id: str, user: str) -> str | None:
        session = self._known(session_id)
        if session is not None and session.user != user:
            return f"user {user} spoke for session {session_id}, which is user {session.user}'s"
        return None

    def _known(self, session_id: str) -> Session | None:
        work = self._parts.placing.holders.get(session_id)
        return work.session if work is not None else self._parts.roll.get(session_id)

    # claims, resumes, accepts

    def _claimant(self, verified: Verified) -> None:
        message, delivery = verified.message, verified.delivery
        placing = self._parts.placing
        work = placing.holders.get(message.session)
        if work is not None:
            self._of_holder(work, verified)
            return
        noted = self._parts.roll.get(message.session)
        if noted is not None:
            if isinstance(message, Claim):
                self._context.ack(delivery)  # older than the resume by which it is noted
            else:
                self._parts.roll.again(noted, verified)
            return
        verdict = self._context.verdicts.get(message.session)
        self._context.note_life(message.request)
        if verdict == "released":
            placing.release_at(message.session, message.address)
            self._context.ack(delivery)
        elif verdict == "given up":
            if isinstance(message, Claim):
                placing.refuse_claim(message, "this session was given up", delivery)
            else:
                placing.refuse_resume(message, "this session was given up", delivery)
        elif isinstance(message, Claim):
            happen(self._parts, message.request, NewClaim(verified=verified))
        elif isinstance(message, Resume):
            happen(self._parts, message.request, NewResume(verified=verified))
        else:
            happen(self._parts, message.request, EarlierAccept(verified=verified))

    def _of_holder(self, work: WorkUnit, verified: Verified) -> None:
        """Of a session that we granted."""
        session, message, delivery = work.granted, verified.message, verified.delivery
        newer = message.epoch > session.epoch
        if message.address in session.clones:
            self._parts.placing.refuse_at(session.session, message.address, "its state folder is a copy")
            self._context.ack(delivery)
        elif not newer and message.address != session.address:
            self._context.ack(delivery)
            happen(self._parts, work.request, OlderAddressSpoke(verified=verified))
        elif message.epoch < session.epoch:
            self._context.ack(delivery)
        elif isinstance(message, Claim):
            happen(self._parts, work.request, HolderClaim(verified=verified, newer=newer))
        elif isinstance(message, Resume):
            happen(self._parts, work.request, HolderResume(verified=verified, newer=newer))
        else:
            happen(self._parts, work.request, HolderAccept(verified=verified, newer=newer))

    # gone

    def _gone(self, delivery: int, gone: Gone, user: str) -> None:
        """Never answered: an agent answers every message for a session that it does not have with `gone`."""
        context = self._context
        context.ack(delivery)
        work = self._parts.placing.holders.get(gone.session)
        if work is not None:
            session = work.granted
            older = gone.epoch < session.epoch and gone.address != session.address
            if gone.address not in session.clones and not older:
                happen(self._parts, work.request, HolderGone(gone=gone))
            return
        noted = self._parts.roll.get(gone.session)
        if noted is None:
            if self._was_here(gone, user):
                context.note_life(gone.request)
        elif gone.epoch >= noted.epoch or gone.address == noted.address:
            self._parts.roll.gone(noted)

    def _was_here(self, gone: Gone, user: str) -> bool:
        """It shows that its agent had work of ours; what anybody may say changes nothing."""
        tickets = self._context.config.tickets
        shown = gone.ticket or ""
        return tickets.proves(shown, request=gone.request, session=gone.session, user=user) is not None

    # events and pulls

    def _of_session(self, delivery: int, message: Event | Pull) -> None:
        work = self._parts.placing.holders.get(message.session)
        if work is None:  # of a session that is over, or that nobody has asked for: told again if need be
            self._context.ack(delivery)
        elif isinstance(message, Event):
            happen(self._parts, work.request, EventCame(event=message, delivery=delivery))
        else:
            self._context.ack(delivery)
            happen(self._parts, work.request, PullCame(pull=message))
