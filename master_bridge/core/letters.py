"""What agents say: who may say it, and what it means in the state that its request is in.

A message is for a session that we granted (`_ours`), that is noted on the roll, or that we do not know. Whoever speaks
for a session of another broker user's, shows no ticket, or sends what only a bridge sends, changes nothing: what it
said goes to `bb.dead`.
"""

from __future__ import annotations

from contracts.errors import BadName
from contracts.messages import Accept, AnyMessage, Claim, Claimant, Event, Gone, Marker, Pull, Resume
from contracts.tickets import Proof
from contracts.topology import address_user
from master_bridge.core.context import Context
from master_bridge.core.holding import Holding
from master_bridge.core.inputs import MessageReceived
from master_bridge.core.placing import NO_KEY, Placing, lacks_key
from master_bridge.core.presence import Presence
from master_bridge.core.records import Session, Verified, Work
from master_bridge.core.rollcall import RollCall


class Letters:
    """Reads each delivery of the claims and the events queue, and acknowledges it at its time."""

    def __init__(
        self, context: Context, *, roll: RollCall, placing: Placing, holding: Holding, presence: Presence
    ) -> None:
        self._context = context
        self._roll = roll
        self._placing = placing
        self._holding = holding
        self._presence = presence

    def read(self, received: MessageReceived) -> int | None:
        """Handle one delivery. Returns the number of a marker of ours that came back, else None."""
        message, user, delivery = received.message, received.user, received.delivery
        reason = self._objection(message, user)
        if reason is not None:
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
        return None

    # who may say it

    def _objection(self, message: AnyMessage, user: str) -> str | None:
        """Why this letter is not to be believed, for a header of `bb.dead`; None: it is in order."""
        config = self._context.config
        if isinstance(message, Marker):
            if user != config.user:
                return f"user {user} sent a marker: only this bridge sends markers, to itself"
            return None
        if isinstance(message, (Event, Pull)):
            return self._not_theirs(message.session, user)
        if not isinstance(message, (Claimant, Gone)):
            return f"a message of type {message.t!r} is not for a bridge"
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
        work = self._placing.holders.get(session_id)
        return work.session if work is not None else self._roll.get(session_id)

    # claims, resumes, accepts

    def _claimant(self, verified: Verified) -> None:
        message, delivery = verified.message, verified.delivery
        work = self._placing.holders.get(message.session)
        if work is not None and work.session is not None:
            self._ours(work, work.session, verified)
            return
        noted = self._roll.get(message.session)
        if noted is not None:
            if isinstance(message, Claim):
                self._context.ack(delivery)  # older than the resume by which it is noted
            else:
                self._roll.again(noted, verified)
            return
        verdict = self._context.verdicts.get(message.session)
        self._context.note_life(message.request)
        if verdict == "released":
            self._placing.release_at(message.session, message.address)
            self._context.ack(delivery)
        elif verdict == "given up":
            if isinstance(message, Claim):
                self._placing.refuse_claim(message, "this session was given up", delivery)
            else:
                self._placing.refuse_resume(message, "this session was given up", delivery)
        elif isinstance(message, Claim):
            self._new_claim(self._placing.works.get(message.request), message, verified)
        else:
            self._new_resume(self._placing.works.get(message.request), message, verified)

    def _new_claim(self, work: Work | None, claim: Claim, verified: Verified) -> None:
        """Nothing was executed yet, or it resumes when refused: only what we offered and still want is granted."""
        placing, delivery = self._placing, verified.delivery
        if work is None:
            placing.refuse_claim(claim, "no agent is wanted for its build request", delivery)
        elif work.state == "window":
            placing.refuse_claim(claim, "the roll is being called; a new offer may follow", delivery)
        elif work.state == "waiting":
            if claim.offer not in work.offers:
                placing.refuse_claim(claim, "a newer offer has replaced this one", delivery)
            elif not placing.has_key(work, verified):
                return
            elif placing.window_open and work.seek.kind == "command":
                placing.collect(work, verified)
            else:
                placing.take(work, verified)
        elif work.session is not None and work.session.missing is not None:
            placing.later(claim, delivery)
        else:
            placing.refuse_claim(claim, "another session holds its build request", delivery)

    def _new_resume(self, work: Work | None, message: Resume | Accept, verified: Verified) -> None:
        if work is None or work.state == "window":
            self._roll.note(verified, wanted=work is not None)
        elif work.state == "waiting":
            if isinstance(message, Resume):
                if self._placing.has_key(work, verified):
                    self._placing.take(work, verified)
            else:
                # An accept of an earlier incarnation, late. Its agent, if it lives, resumes and says what it is.
                self._placing.call_roll_at(message.address)
                self._context.ack(verified.delivery)
        else:
            self._placing.refuse_resume(message, "another session holds its build request", verified.delivery)

    def _ours(self, work: Work, session: Session, verified: Verified) -> None:
        """Of the session that we granted."""
        context, presence = self._context, self._presence
        message, delivery = verified.message, verified.delivery
        if message.address in session.clones:
            self._placing.refuse_at(session.session, message.address, "its state folder is a copy")
            context.ack(delivery)
            return
        newer = message.epoch > session.epoch
        if not newer and message.address != session.address:
            context.ack(delivery)
            presence.older_spoke(work, session, message)
            return
        if message.epoch < session.epoch:
            context.ack(delivery)
            return
        context.keep(session, delivery, message)
        if newer:
            presence.moved(session, message)
            context.changed(work)
        elif session.missing is not None:
            return  # sent before it vanished: only a newer epoch ends that (rule 9)
        else:
            presence.suspect_answered(work, session)
        if isinstance(message, Accept) and message.incarnation == context.config.incarnation:
            if session.worker is not None:
                self._holding.accepted(work, session)
            return
        session.learn(verified)
        if lacks_key(work, session):
            self._holding.give_up(work, session, NO_KEY)
        elif not (isinstance(message, Claim) and session.attached and not newer):
            self._placing.grant(work, session)

    # gone

    def _gone(self, delivery: int, gone: Gone, user: str) -> None:
        """Never answered: an agent answers every message for a session that it does not have with `gone`."""
        context = self._context
        context.ack(delivery)
        work = self._placing.holders.get(gone.session)
        if work is not None and work.session is not None:
            session = work.session
            if gone.address in session.clones or (gone.epoch < session.epoch and gone.address != session.address):
                return
            if gone.address == session.address or session.missing is not None:
                self._holding.gone(work, session, gone)
            elif session.suspect is None:
                self._presence.gone_elsewhere(session.session, work, session, gone)
            return
        noted = self._roll.get(gone.session)
        if noted is None:
            if context.verdicts.get(gone.session) is None and self._was_here(gone, user):
                context.note_life(gone.request)
        elif gone.epoch >= noted.epoch or gone.address == noted.address:
            self._roll.take(noted)
            context.verdicts.put(gone.session, "given up")
            context.let_go(noted)

    def _was_here(self, gone: Gone, user: str) -> bool:
        """It shows that its agent had work of ours; what anybody may say changes nothing."""
        tickets = self._context.config.tickets
        shown = gone.ticket or ""
        return tickets.proves(shown, request=gone.request, session=gone.session, user=user) is not None

    # events and pulls

    def _of_session(self, delivery: int, message: Event | Pull) -> None:
        work = self._placing.holders.get(message.session)
        if work is None or work.session is None:
            self._context.ack(
                delivery
            )  # of a session that is over, or that nobody has asked for: told again if need be
        elif isinstance(message, Pull):
            self._context.ack(delivery)
            self._holding.pull(work, work.session, message)
        else:
            self._holding.event(work, work.session, message, delivery)
