"""How an agent comes by work: consume, take one offer, claim it, wait for the answer (rules 5-8, 15, 16, 19, 20)."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.messages import AgentLock
from contracts.timing import CLOCK_MARGIN, COMMAND_GRANT_WAIT, PARKINGS_MAX, SILENCE_BEFORE_RESUME
from worker_agent.core.actions import Bury, Consume, OpenSession
from worker_agent.core.commands import Commands
from worker_agent.core.inputs import OfferDelivered
from worker_agent.core.session import Phase, Session, commands_of, owner_of
from worker_agent.core.state import AgentState
from worker_agent.core.window import EventWindow

#: Deaths of an offer that was parked often enough: one by rejection, one by expiry each time.
DEATHS_MAX = 2 * PARKINGS_MAX


class Intake:
    """The way from IDLE to HELD. At most one offer is being claimed at a time, whatever the number of slots."""

    def __init__(self, state: AgentState, commands: Commands) -> None:
        self._state = state
        self._commands = commands
        self.queues: frozenset[str] = frozenset()
        #: the queue whose offer was claimed last: it comes last in the next round
        self._served = ""
        #: False: drained, stopped or unwell
        self.open = True

    # ---- consuming

    def free_slot(self) -> int | None:
        used = {session.slot for session in self._state.sessions.values() if session.takes_slot}
        taken = len([session for session in self._state.sessions.values() if session.takes_slot])
        if taken >= self._state.config.slots:
            return None
        return next((slot for slot in range(self._state.config.slots) if slot not in used), None)

    @property
    def claiming(self) -> bool:
        return any(session.is_pending for session in self._state.sessions.values())

    def _wanted(self) -> frozenset[str]:
        ready = self._state.link is not None and self.open and not self.claiming and self.free_slot() is not None
        return self.queues if ready else frozenset()

    def consume(self) -> None:
        """Make the consumers what they should be; last of all that an input causes."""
        wanted = self._wanted()
        if wanted == self._state.consumed:
            return
        if not wanted:
            self._state.cancel_consumers()
        else:
            self._state.consumed = wanted
            self._state.do(Consume(queues=self._in_turn(wanted)))

    def _in_turn(self, queues: frozenset[str]) -> tuple[str, ...]:
        """Whichever queue comes first is served first: were it always the same, the others would wait for its end, and
        their first offers be handed out and given back at each session."""
        behind = sorted(queue for queue in queues if queue > self._served)
        return (*behind, *sorted(queues.difference(behind)))

    # ---- offers

    def offered(self, delivered: OfferDelivered, now: float) -> None:
        state, offer = self._state, delivered.offer
        if state.link is None:
            return  # the delivery went with its link
        same = [session for session in state.sessions.values() if session.serves(offer)]
        if same:
            self._own(delivered, same)
            return
        at_once = self._is_first(delivered)
        if state.masters.is_silent(owner_of(offer)) and not at_once:
            self._park_or_bury(delivered)  # which takes no slot
            return
        slot = self.free_slot()
        if not self.open or not state.consumed or self.claiming or slot is None:
            state.settle(delivered.delivery, "give back")  # it slipped in before the cancel
            return
        if not self._has_room(offer.locks):
            state.settle(delivered.delivery, "park")  # for another agent, or for this one when it has
            return
        state.cancel_consumers()
        self._served = delivered.queue
        session = Session(
            id=state.new_id(),
            offer=offer,
            slot=slot,
            phase=Phase.CONFIRMING if at_once else Phase.CLAIMING,
            since=now,
            window=EventWindow(now),
            delivery=delivered.delivery,
            run=offer.run,
            ticket=offer.ticket,
            claimed_from=state.masters.incarnation(owner_of(offer)),
            commands=commands_of(offer),
            heard_at=now,
            contact_at=now,
            resume_due=now + SILENCE_BEFORE_RESUME,
        )
        state.sessions[session.id] = session
        if at_once:
            self.open_session(session)
        session.claim_token = state.say_claim(session, now)

    def _has_room(self, locks: Iterable[AgentLock]) -> bool:
        """Do the locks allow one more beside what this agent holds, for whichever masters?"""
        held = [lock for session in self._state.sessions.values() if session.takes_slot for lock in session.offer.locks]
        for lock in locks:
            capacity = self._capacity(lock)
            taken = sum(min(other.takes, self._capacity(other)) for other in held if other.name == lock.name)
            if capacity < 1 or taken + min(lock.takes, capacity) > capacity:
                return False
        return True

    def _capacity(self, lock: AgentLock) -> int:
        return lock.capacities.get(self._state.config.agent, lock.capacity)

    def _park_or_bury(self, delivered: OfferDelivered) -> None:
        """Of a silent master: it waits. Of one that does not exist, it does not wait for ever."""
        masters, owner = self._state.masters, owner_of(delivered.offer)
        if delivered.deaths >= DEATHS_MAX and (masters.is_absent(owner) or masters.is_disowned(owner)):
            why = "has no queue at this broker" if masters.is_absent(owner) else f"is not user {owner.user}"
            reason = f"master {owner.name} {why}, and the offer was parked {PARKINGS_MAX} times"
            self._state.do(Bury(delivery=delivered.delivery, reason=reason))
        else:
            self._state.settle(delivered.delivery, "park")

    def _own(self, delivered: OfferDelivered, same: list[Session]) -> None:
        """The agent holds the session that this offer is for: hold its own offer, park a second copy (rule 8)."""
        for session in same:
            if session.is_offer(delivered.offer) and session.delivery is None and session.takes_slot:
                session.delivery = delivered.delivery
                # a delivery that stays would starve its consumer (prefetch 1): consume afresh
                self._state.cancel_consumers()
                return
        self._state.settle(delivered.delivery, "park")

    def _is_first(self, delivered: OfferDelivered) -> bool:
        """Rule 15: may it run before a grant? Under strict fencing never: nobody would wait for its end."""
        offer, link = delivered.offer, self._state.link
        return (
            link is not None
            and offer.kind == "command"
            and bool(offer.commands)
            and offer.fencing is None
            and not delivered.redelivered
            and not delivered.repeated
            and delivered.deaths == 0
            and not offer.ask
            and offer.published >= link.opened_at + CLOCK_MARGIN
        )

    def open_session(self, session: Session) -> None:
        """Journal it, then start its keeper."""
        self._state.persist(session)
        if not session.opened:
            session.opened = session.keeper = True
            self._state.do(
                OpenSession(
                    session=session.id, master=session.master, slot=session.slot, builddir=session.offer.builddir
                )
            )

    # ---- what becomes of a claim

    def confirmed(self, session: Session, token: int, now: float) -> None:
        """The claim is in its master's hands. Rule 15, a first delivery: wait 1 s for a grant, or not at all."""
        if session.claim_token != token:
            return
        session.claim_token = None
        if session.phase is not Phase.CONFIRMING:
            return
        if self._state.masters.is_silent(session.owner):
            self.run_at_once(session, now)
        else:
            session.phase, session.since = Phase.AWAITING, now
            session.run_due = now + COMMAND_GRANT_WAIT

    def refused_by_broker(self, session: Session, *, returned: bool) -> None:
        """The claim came back: no such master (`returned`), or its queue is full. Try later."""
        if returned:
            self._state.masters.mark_absent(session.owner)
        if session.is_pending and session.phase is not Phase.AWAITING:
            self._state.master_silent(session.owner)
            self._state.end(session, "park", "unknown")

    def run_at_once(self, session: Session, now: float) -> None:
        """Rule 15: nobody answers; the first delivery of a command runs without a grant."""
        session.phase, session.since = Phase.HELD, now
        session.run_due = None
        self._commands.run_offer(session)

    def unanswered(self, session: Session) -> None:
        """Rule 19: 5 s without an answer. A claim is given up; what runs, runs on."""
        session.answer_due = None
        # while the claim is unconfirmed it is the broker that does not answer, not the master
        if session.claim_token is None:
            self._state.master_silent(session.owner)
        if session.is_pending:
            self._state.end(session, "park", "unknown")

    def link_lost(self, session: Session, now: float) -> None:
        """Pending claims are forgotten; one that is confirmed runs: no grant can come any more."""
        if session.phase is Phase.AWAITING:
            self.run_at_once(session, now)
        else:
            self._state.end(session, "give back", "unknown")

    def give_up(self, session: Session) -> None:
        """Drained or stopped: nothing was executed, somebody else takes the offer."""
        self._state.end(session, "give back", "unknown")
