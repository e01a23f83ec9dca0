"""How an agent comes by work: consume, take one offer, check the machine, claim, wait for the answer.

Rules 5-8, 15, 16, 19, 20. At most one offer is being claimed at a time, whatever the number of slots. The handlers of
`transitions` for sessions that are not held yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.messages import AgentLock, Later
from contracts.timing import CLOCK_MARGIN, COMMAND_GRANT_WAIT, PARKINGS_MAX, SILENCE_BEFORE_RESUME
from worker_agent.core import cues, runs
from worker_agent.core.actions import CheckMachine, Consume, OpenSession, SendToDead
from worker_agent.core.availability import Order
from worker_agent.core.inputs import DeliveryLost, KeeperLost, LinkDown, MachineChecked, OfferDelivered, Stop
from worker_agent.core.session import KeeperState, Phase, Session, owner_of
from worker_agent.core.state import AgentState

#: Deaths of an offer that was parked often enough: one by rejection, one by expiry each time.
DEATHS_MAX = 2 * PARKINGS_MAX
#: Masters that the log names for one and the same reason.
MASTERS_TOLD = 100


# ---- consuming


def consume(state: AgentState) -> None:
    """Make the consumers what they should be; last of all that an input causes."""
    wanted = state.queues if state.availability().takes else frozenset()
    if wanted == state.consumed:
        return
    if not wanted:
        state.cancel_consumers()
    else:
        state.consumed = wanted
        state.do(Consume(queues=in_turn(wanted, state.served)))


def in_turn(queues: frozenset[str], served: str) -> tuple[str, ...]:
    """Whichever queue comes first is served first: were it always the same, the others would wait for its end, and
    their first offers be handed out and given back at each session. `served` is the one that was served last."""
    behind = sorted(queue for queue in queues if queue > served)
    return (*behind, *sorted(queues.difference(behind)))


# ---- an offer comes


def take_up(state: AgentState, session: Session, delivered: OfferDelivered) -> None:
    """An offer for which there is no session: check the machine for it, or park it, or give it back."""
    offer = delivered.offer
    if offer.direct:
        state.do(SendToDead(delivery=delivered.delivery, reason="an operator tells an offer to its agent (rule 26)"))
        return
    session.first_delivery = _is_first(state, delivered)
    if state.masters.is_silent(session.owner) and not session.first_delivery:
        _park_or_send_to_dead(state, delivered)  # which takes no slot
        return
    availability, slot = state.availability(), state.free_slot()
    if availability.closed or availability.claiming or slot is None or not state.consumed:
        state.settle(delivered.delivery, "give back")  # it slipped in before the cancel
        return
    if not _has_room(state, offer.locks):
        state.settle(delivered.delivery, "park")  # for another agent, or for this one when it has
        return
    if offer.seal and not state.config.seals:
        _say_cannot_seal(state, session)
        state.settle(delivered.delivery, "park")
        return
    state.cancel_consumers()
    state.served = delivered.queue
    session.id, session.slot = state.new_id(), slot
    session.delivery = delivered.delivery
    session.phase, session.since = Phase.CHECKING, state.now
    state.sessions[session.id] = session
    state.do(CheckMachine(delivery=delivered.delivery, queue=delivered.queue, offer=offer.offer))


def _say_cannot_seal(state: AgentState, session: Session) -> None:
    """Once for each master: such an offer comes every few seconds until another agent takes it."""
    owner = session.owner
    if owner not in state.cannot_seal and len(state.cannot_seal) < MASTERS_TOLD:
        state.cannot_seal.add(owner)
        detail = f"{session.offer.request} of master {owner.name} is sealed: it is left to agents that can seal"
        state.alarm("cannot_seal", f"{detail}; `worker-agent doctor` tells what is missing here")


def own_again(state: AgentState, session: Session, delivered: OfferDelivered) -> None:
    """The offer of this very session, or a second one for its request (rule 8): hold the one, park the other."""
    if session.misses(delivered.offer):
        session.delivery = delivered.delivery
        state.cancel_consumers()  # a delivery that stays would starve its consumer (prefetch 1): consume afresh
    else:
        state.settle(delivered.delivery, "park")


def _has_room(state: AgentState, locks: Iterable[AgentLock]) -> bool:
    """Do the locks allow one more beside what this agent holds, for whichever masters?"""
    agent = state.config.agent
    held = [lock for session in state.in_slots for lock in session.offer.locks]
    for lock in locks:
        capacity = _capacity(lock, agent)
        taken = sum(min(other.takes, _capacity(other, agent)) for other in held if other.name == lock.name)
        if capacity < 1 or taken + min(lock.takes, capacity) > capacity:
            return False
    return True


def _capacity(lock: AgentLock, agent: str) -> int:
    return lock.capacities.get(agent, lock.capacity)


def _park_or_send_to_dead(state: AgentState, delivered: OfferDelivered) -> None:
    """Of a silent master: it waits. Of one that does not exist, it does not wait for ever."""
    masters, owner = state.masters, owner_of(delivered.offer)
    if delivered.deaths >= DEATHS_MAX and (masters.is_absent(owner) or masters.is_disowned(owner)):
        why = "has no queue at this broker" if masters.is_absent(owner) else f"is not user {owner.user}"
        reason = f"master {owner.name} {why}, and the offer was parked {PARKINGS_MAX} times"
        state.do(SendToDead(delivery=delivered.delivery, reason=reason))
    else:
        state.settle(delivered.delivery, "park")


def _is_first(state: AgentState, delivered: OfferDelivered) -> bool:
    """Rule 15: may it run before a grant? Under strict fencing never: nobody would wait for its end."""
    offer, link = delivered.offer, state.link
    return (
        link is not None
        and offer.kind == "command"
        and bool(offer.commands)
        and offer.fencing is None
        and not offer.seal
        and not delivered.redelivered
        and not delivered.repeated
        and delivered.deaths == 0
        and not offer.ask
        and offer.published >= link.opened_at + CLOCK_MARGIN
    )


# ---- its machine was checked


def claim(state: AgentState, session: Session, checked: MachineChecked) -> None:
    """The machine can do it: claim. It cannot: somebody else may. Nobody knows: the offer comes again later."""
    if checked.able is None:
        state.end(session, "park", "unknown")
        return
    if not checked.able or state.availability().closed:
        state.end(session, "give back", "unknown")
        return
    _claim(state, session, Phase.CONFIRMING if session.first_delivery else Phase.CLAIMING)


def _claim(state: AgentState, session: Session, phase: Phase) -> None:
    now = state.now
    session.phase = phase
    session.since = session.heard_at = session.contact_at = now
    session.resume_due = now + SILENCE_BEFORE_RESUME
    session.claimed_from = state.masters.incarnation(session.owner)
    if session.first_delivery:
        open_session(state, session)
    state.say_claim(session, now)


def claim_told(state: AgentState, session: Session, cue: cues.OfferTold) -> None:
    """Rule 26: claimed beside whatever runs, on a machine that takes no builds as well: an operator may have come to
    repair it. Where that cannot be, nothing is said: the operator asks again."""
    slot = state.direct_slot()
    leaves = state.order in (Order.LEAVE, Order.LEFT)
    if slot is None or leaves or (session.offer.seal and not state.config.seals):
        return
    session.id, session.slot = state.new_id(), slot
    state.sessions[session.id] = session
    _claim(state, session, Phase.CLAIMING)


def open_session(state: AgentState, session: Session) -> None:
    """Journal it, then start its keeper."""
    state.persist(session)
    if session.keeper is KeeperState.NONE:
        session.keeper = KeeperState.ALIVE
        state.do(
            OpenSession(session=session.id, master=session.folder, slot=session.slot, builddir=session.offer.builddir)
        )


# ---- what becomes of a claim


def confirmed(state: AgentState, session: Session, cue: cues.ClaimConfirmed) -> None:
    """The claim is in its master's hands."""
    session.claim_unconfirmed = False


def confirmed_first(state: AgentState, session: Session, cue: cues.ClaimConfirmed) -> None:
    """… and it is that of a first delivery (rule 15): wait 1 s for a grant, or not at all."""
    session.claim_unconfirmed = False
    if state.masters.is_silent(session.owner):
        run_at_once(state, session, cue)
    else:
        session.phase, session.since = Phase.AWAITING, state.now
        session.run_due = state.now + COMMAND_GRANT_WAIT


def returned(state: AgentState, session: Session, cue: cues.ClaimReturned) -> None:
    """No such master, or its queue is full: try later."""
    if not session.is_direct:  # an operator's program comes once; there are no offers of it to be kept back
        state.master_silent(session.owner)
    state.end(session, "park", "unknown")


def refused(state: AgentState, session: Session, cue: cues.ClaimRefused) -> None:
    """Rule 8: a refused claim acknowledges its offer."""
    state.end(session, "ack", "refused", cue.reason)


def put_off(state: AgentState, session: Session, later: Later) -> None:
    """The request's agent may come back yet."""
    state.end(session, "park", "unknown")


def unanswered(state: AgentState, session: Session, cue: cues.AnswerDue) -> None:
    """Rule 19: 5 s without an answer: the claim is given up."""
    unanswered_and_running(state, session, cue)
    state.end(session, "park", "unknown")


def unanswered_and_running(state: AgentState, session: Session, cue: cues.AnswerDue) -> None:
    """Rule 19: what runs, runs on."""
    session.answer_due = None
    # else it is the broker that does not answer, or an operator's program, which comes once
    if not session.claim_unconfirmed and not session.is_direct:
        state.master_silent(session.owner)


def run_at_once(state: AgentState, session: Session, cue: cues.ClaimConfirmed | cues.RunDue | LinkDown) -> None:
    """Rule 15: nobody answers; the first delivery of a command runs without a grant."""
    session.phase, session.since = Phase.HELD, state.now
    session.run_due = None
    runs.run_offer(state, session)


def link_lost(state: AgentState, session: Session, cue: LinkDown) -> None:
    """The claim is forgotten: its offer went with the link."""
    session.lose_link()
    state.end(session, "give back", "unknown")


def link_lost_after_confirm(state: AgentState, session: Session, cue: LinkDown) -> None:
    """Its claim has arrived, and no grant can come any more: it runs."""
    session.lose_link()
    run_at_once(state, session, cue)


def delivery_lost(state: AgentState, session: Session, cue: DeliveryLost) -> None:
    """The bridge, not the broker, decides who holds it."""
    session.delivery = None


def offer_lost(state: AgentState, session: Session, cue: DeliveryLost) -> None:
    """The broker has it back before anybody was told of it."""
    session.delivery = None
    state.end(session, "give back", "unknown")


def give_up(state: AgentState, session: Session, cue: cues.TurnedAway | Stop) -> None:
    """Nothing was executed: somebody else takes the offer."""
    state.end(session, "give back", "unknown")


def keeper_lost(state: AgentState, session: Session, lost: KeeperLost) -> None:
    """Its keeper ended. Nobody's life where nothing was journalled: the agent is there, nothing has run (rule 20)."""
    session.keeper_ended()
    detail = f"the session's processes ended with their keeper: {lost.reason}"
    fresh = not session.journalled
    if fresh:
        detail += f"; no new work for {state.fitness.keeper_failed(state.now):g} s"
    state.alarm("keeper_lost", detail, session)
    state.end(session, "give back" if session.executed else "park", "killed" if fresh else "lost", detail, tell=True)
