"""Finding an agent for a request: window, offers, grants (the upper half of the bridge's table)."""

from __future__ import annotations

from dataclasses import replace

from contracts.messages import Claim, Claimant, Command, Grant, Later, Offer, Refuse, Release, Resume, RollCall
from contracts.timing import ACCEPT_TIMEOUT, REOFFER_AFTER
from contracts.trust.tickets import Proof
from master_bridge.core.actions import PublishOffer, StateChanged, Terms
from master_bridge.core.context import Context
from master_bridge.core.holders import Holders
from master_bridge.core.inputs import Reroute, Seek
from master_bridge.core.leftovers import Leftovers
from master_bridge.core.records import Session, Verified, WorkUnit, session_of
from master_bridge.core.rollcall import NotedSessions
from master_bridge.core.states import State

#: Offers of one request that may still be granted. Each link-up adds one; older ones are refused and so removed.
OFFERS_KEPT = 100
#: Claims of one request that wait for the end of the roll call; more are for nobody who serves it (rule 23).
COLLECTED_MAX = 100
#: Why a session that runs is refused where what is said in it must be sealed.
NO_KEY = "its build request is sealed now, and this session gives no key"
#: Agents without a key that are told of, for one request.
KEYLESS_TOLD = 100


class Placing:
    """All requests that Buildbot wants agents for, and the grants."""

    def __init__(self, context: Context, roll: NotedSessions) -> None:
        self._context = context
        self._roll = roll
        self.works: dict[str, WorkUnit] = {}
        self.holders = Holders()
        self.leftovers = Leftovers(context, self.works)
        #: the roll is being called: who looks for an agent waits for its end (rule 12)
        self.window_open = True

    # Buildbot looks for an agent

    def check(self, seek: Seek) -> None:
        """Raise `ValidationError` when no offer can carry `seek`: before anything was changed."""
        self._offer_of(seek, "check", ask=True)

    def seek(self, seek: Seek) -> None:
        """To WINDOW, and at once on to GRANTED or WAITING when this link's roll call has ended.

        Raises `ValidationError`, and changes nothing then.
        """
        self.check(seek)
        earlier = self.works.get(seek.request)
        if earlier is not None:  # Buildbot asks anew without having ended the last time: its session is adopted
            self.keep(earlier)
        context = self._context
        if seek.repeated:
            context.note_life(seek.request)
        work = self.works[seek.request] = WorkUnit(seek=seek, state=State.WINDOW, since=context.now)
        if context.up and not self.window_open:
            self.decide(work)
        context.changed(work)

    def decide(self, work: WorkUnit) -> None:
        """The window is closed: adopt the best session on the roll, or publish the first offer."""
        session = self._roll.adopt(work.request)
        if session is not None and lacks_key(work, session):
            self.refuse_at(session.session, session.address, NO_KEY)
            self._context.verdicts.put(session.session, "given up")
            self._context.let_go(session)
            session = None
        if session is None:
            self.to_waiting(work)
        else:
            session.detach(attached=False)
            self._give(work, session)

    def take_first(self, work: WorkUnit) -> None:
        """No resume came while the roll was called: the claim that came first is granted."""
        if work.collected:
            self.take(work, work.collected.pop(next(iter(work.collected))))

    # offers

    def to_waiting(self, work: WorkUnit) -> None:
        """Every step back to waiting publishes a fresh offer (rule 7)."""
        work.session = None
        work.state = State.WAITING
        self.offer(work)
        self._context.changed(work)

    def offer(self, work: WorkUnit) -> None:
        """Without a link nothing is published; every link-up offers what waits (rule 7)."""
        context = self._context
        if not context.up:
            return
        ask = context.history(work.request).known
        context.note_life(work.request)
        offer = self.make_offer(work, ask=ask)
        work.offers = [*work.offers[1 - OFFERS_KEPT :], offer.offer]
        context.emit(PublishOffer(offer=offer, priority=work.seek.priority))
        self.offer_again_later(work)

    def offer_again_later(self, work: WorkUnit) -> None:
        """It may get lost unseen (purged, put into `dead` by agents of another version): the wait doubles each time."""
        context = self._context
        if context.active:
            waited = context.now - work.since
            context.timers.set("reoffer", work.request, context.now + max(REOFFER_AFTER, waited))

    def make_offer(self, work: WorkUnit, *, ask: bool) -> Offer:
        return self._offer_of(work.seek, self._context.new_id(), ask=ask)

    def _offer_of(self, seek: Seek, offer: str, *, ask: bool) -> Offer:
        context = self._context
        config, now = context.config, context.config.wall(context.now)
        commands = commands_of(seek)
        return Offer(
            offer=offer,
            request=seek.request,
            master=config.master,
            user=config.user,
            ticket=config.tickets.for_offer(
                seek.kind, request=seek.request, signature=seek.signature, run=seek.run, made=now
            ),
            run=seek.run,
            signature=seek.signature,
            kind=seek.kind,
            ask=ask or seek.seal,
            published=now,
            builddir=seek.builddir,
            title=seek.title,
            builder=seek.builder,
            build_number=seek.build_number,
            locks=seek.locks,
            fencing=seek.fencing,
            seal=seek.seal,
            commands=() if seek.seal else commands,  # nobody's key is known yet: they are started after the grant
        )

    def reroute(self, work: WorkUnit, order: Reroute) -> None:
        """Another signature: claims of the offers made so far are refused, and what waits is offered anew."""
        seek = replace(work.seek, signature=order.signature, seal=order.seal)
        if seek == work.seek:
            return
        self.check(seek)
        self.leftovers.note(work.seek.signature, at_once=_runs_unasked(work))
        work.seek, work.offers = seek, []
        self._refuse_collected(work, "a newer offer has replaced this one")
        if work.state is State.WAITING:
            self.offer(work)

    # grants

    def take(self, work: WorkUnit, verified: Verified) -> None:
        """WAITING → GRANTED, by a claim or a resume."""
        session = session_of(verified, now=self._context.now)
        self._context.keep(session, verified.delivery, verified.message)
        self._give(work, session)

    def has_key(self, work: WorkUnit, verified: Verified) -> bool:
        """Rule 24. False: it was answered, since its agent cannot seal what must be sealed. Somebody else may."""
        message = verified.message
        if not work.seek.seal or (isinstance(message, (Claim, Resume)) and message.key is not None):
            return True
        reason = (
            f"{work.request} is sealed, and agent {message.agent} gives no key to seal it for: it needs the package "
            "cryptography (`worker-agent doctor` tells), or a version that can seal"
        )
        if message.agent not in work.keyless and len(work.keyless) < KEYLESS_TOLD:
            work.keyless.add(message.agent)
            self._context.alarm("amqp.no_key", reason, work.request)
        if isinstance(message, Claim):
            self.later(message, verified.delivery, reason)
        else:
            self.refuse_resume(message, reason, verified.delivery)
        return False

    def _give(self, work: WorkUnit, session: Session) -> None:
        session.given = self._context.config.wall(self._context.now)
        earlier = session.proof.made / 1000 if session.proof.kind == "grant" else session.given
        session.begun = session.begun or min(earlier, session.given)
        session.proof = Proof(kind="grant", run=work.seek.run, made=int(session.given * 1000))
        work.session = session
        work.state = State.GRANTED
        self.holders[session.session] = work
        collected = work.collected.pop(session.session, None)
        if collected is not None:  # the claim of this very session, which resumed meanwhile
            self._context.ack(collected.delivery)
        self._refuse_collected(work, "another session holds its build request")
        self.grant(work, session)
        self._context.changed(work)

    def grant(self, work: WorkUnit, session: Session) -> None:
        """Grant, or grant again, and expect an accept.

        A session that is known from an old accept only did not tell its capabilities: it is asked to resume instead.
        """
        context = self._context
        if session.worker is None:
            self.call_roll_at(session.address)
        else:
            self.grant_at(work, session, session.address)
        if context.active:
            context.timers.set("accept", session.session, context.now + ACCEPT_TIMEOUT)

    def call_roll_at(self, address: str) -> None:
        config = self._context.config
        self._context.send(RollCall(master=config.master, incarnation=config.incarnation), address)

    def grant_at(self, work: WorkUnit, session: Session, address: str) -> None:
        """Send a grant; one of a session with a key makes a seal (rule 24)."""
        context = self._context
        if context.up and (session.first_grant is None or session.first_grant[0] != address):
            session.first_grant = (address, context.links)
        session.terms = None
        if session.key is not None:
            signature = work.seek.signature
            session.terms = Terms(key=session.key, user=session.user, request=work.request, signature=signature)
        context.send(self._grant_of(work, session), address, session.terms)

    def _grant_of(self, work: WorkUnit, session: Session) -> Grant:
        config = self._context.config
        return Grant(
            session=session.session,
            master=config.master,
            incarnation=config.incarnation,
            run=work.seek.run,
            ticket=config.tickets.for_grant(
                request=work.request,
                signature=work.seek.signature,
                run=work.seek.run,
                session=session.session,
                user=session.user,
                made=session.given,
            ),
            stored=session.order.stored,
        )

    # claims during a roll call

    def collect(self, work: WorkUnit, verified: Verified) -> None:
        """A command that waits may run already: at once, before this link came up, by an agent that comes back after
        the claimant. So while the roll is called it is given to a resume only, then to the first claim."""
        session = verified.message.session
        if session in work.collected:
            self._context.ack(verified.delivery)
        elif len(work.collected) >= COLLECTED_MAX:
            self.later(verified.message, verified.delivery)
        else:
            work.collected[session] = verified

    def _refuse_collected(self, work: WorkUnit, reason: str) -> None:
        for collected in work.collected.values():
            self.refuse_claim(collected.message, reason, collected.delivery)
        work.collected.clear()

    # answers

    def refuse_claim(self, message: Claimant, reason: str, delivery: int) -> None:
        """The agent acknowledges the offer of a refused claim: that is how stale offers are removed."""
        refuse = Refuse(session=message.session, master=self._context.config.master, re="claim", reason=reason)
        self._context.send(refuse, message.address)
        self._context.ack(delivery)

    def refuse_resume(self, message: Claimant, reason: str, delivery: int) -> None:
        self.refuse_at(message.session, message.address, reason)
        self._context.verdicts.put(message.session, "given up")
        self._context.ack(delivery)

    def refuse_at(self, session: str, address: str, reason: str) -> None:
        refuse = Refuse(session=session, master=self._context.config.master, re="resume", reason=reason)
        self._context.send(refuse, address)

    def later(self, message: Claimant, delivery: int, reason: str = "") -> None:
        """The offer is parked: until it is decided whether its missing holder comes back (rule 8), or for another."""
        later = Later(
            session=message.session, master=self._context.config.master, request=message.request, reason=reason
        )
        self._context.send(later, message.address)
        self._context.ack(delivery)

    # ends

    def release(self, session: Session) -> None:
        context = self._context
        context.verdicts.put(session.session, "released")
        self.release_at(session.session, session.address)
        self.holders.pop(session.session, None)
        context.let_go(session)

    def release_at(self, session: str, address: str) -> None:
        self._context.send(Release(session=session, incarnation=self._context.config.incarnation), address)

    def done(self, work: WorkUnit) -> None:
        """Buildbot wants no agent any more, in whatever state: release the session, if there is one."""
        if work.session is not None:
            self.release(work.session)
        self.forget(work, "done")
        self._roll.recheck(work.request)

    def forget(self, work: WorkUnit, state: str) -> None:
        unasked = state == "done" and _runs_unasked(work)
        del self.works[work.request]
        self._context.note_life(work.request)
        self._context.timers.set("reoffer", work.request, None)
        self._refuse_collected(work, "no agent is wanted for its build request")
        self.leftovers.note(work.seek.signature, at_once=unasked)
        self._context.emit(StateChanged(request=work.request, state="done" if state == "done" else "none"))

    def keep(self, work: WorkUnit) -> None:
        """Quick stop: Buildbot lets go, the agent goes on; its session is on the roll again."""
        session = work.session
        self.forget(work, "none")
        if session is not None:
            self.holders.pop(session.session, None)
            for purpose in ("accept", "grace", "suspect", "rival", "stored", "replay"):
                self._context.timers.set(purpose, session.session, None)
            for delivery in session.order.drain():
                self._context.ack(delivery)
            session.detach(attached=work.attached)
            session.since = self._context.now
            self._roll.add(session, wanted=False)
        else:
            self._roll.recheck(work.request)

    # link

    def link_down(self, work: WorkUnit) -> None:
        """What was delivered is void; the broker delivers it again."""
        work.collected.clear()
        if work.session is not None:
            work.session.delivery = None
            work.session.order.void()


def lacks_key(work: WorkUnit, session: Session) -> bool:
    """Its agent cannot seal what must be sealed (rule 24); unknown where it is known from an accept only."""
    return work.seek.seal and session.worker is not None and session.key is None


def _runs_unasked(work: WorkUnit) -> bool:
    """Does its offer lie in the queue, and does an agent that takes it run it before it hears of us?"""
    return work.state is State.WAITING and work.seek.kind == "command"


def commands_of(seek: Seek) -> tuple[Command, ...]:
    """The commands of a command offer, numbered from 1."""
    return tuple(
        Command(n=n, name=prepared.name, args=dict(prepared.args), digest=prepared.digest, step=prepared.step)
        for n, prepared in enumerate(seek.commands, 1)
    )
