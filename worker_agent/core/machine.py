"""The agent's state machine: all of the protocol's agent-side rules, without any I/O.

What becomes of a session is the table in `transitions`, drawn in docs/protocol.md; what is asked of the agent as a
whole is that in `orders`. This module takes inputs to the sessions that they concern, and does what falls due
(`clock`).

Whatever comes for a session that is not there is answered `gone`, from what `ended_sessions` remembers of it.

The gate. Before its first grant a session (a command offer's first delivery) publishes events as they come. A grant of
a new incarnation rewinds to `stored` and closes the gate: events of command n go out again only after that incarnation
sent `start` of n with the digest that the agent has executed; another digest ends the session (diverged). So a changed
command is found before a wrong line is stored. The gate stays open where nothing had been executed when the grant came
(what runs then is this bridge's), or where the grant comes from the very incarnation that was heard before the claim.

What the table leaves out, and what is done:

- Before an offer is claimed its machine is checked (CHECKING): is it well, and able? No other offer is taken meanwhile.
- A claim that the broker refuses (no such queue, or full) marks the master silent and parks the offer. One of a master
  that has no queue here goes to `dead` when it was parked `PARKINGS_MAX` times: nobody will ever answer for it.
- A claim unconfirmed for 5 s: park; the broker is at fault, so the master is not called silent.
- Strict fencing: such an offer never runs without a grant, or nobody would wait for the end of what runs. The clock
  starts at the last message of the bridge about the session; it kills only where a command runs or is still to run.
- An offer that was held and given back comes after `CancelConsumers`; consumers start afresh at the end of the input.
- Rule 15's margin is on the safe side: published more than 60 s after this connection was opened. A broker that was
  killed forgets which offers it had delivered; one that another agent runs must not pass for a first delivery. So
  for its first minute a connection takes every command offer as one that asks.
- The commands of a command offer run one after the other; when one was interrupted, those behind it complete as
  interrupted, too. Commands of a build may overlap.
- `stored` beyond the end of the journal, and a hole in the journal: the numbers of the two sides no longer mean the
  same events, the session is lost.
- A lost keeper does not matter once all commands of a command offer have completed: the journal has everything.
  One lost before anything was executed parks its offer, and one lost before it journalled anything pauses the agent
  (`Fitness`), so that an agent that cannot start keepers neither spins nor burns other people's builds.
- A session that was granted and never ran a command is given back when its master is silent: for 10 s in a drain, else
  for as long as a bridge waits for an idle one (300 s). Nothing is lost with it, and its slot is free.
- Confirmed events are not sent again while the bridge says nothing; see `EventWindow.resend_at`.
- `Steer` messages are for the edge, which turns them into inputs.

Deterministic: time and ids are passed in. Files: `transitions` and its handlers (`claims`, `holding`, `commands`,
`events`), `orders`, `messages` (who says it, and to whom it happens), `clock`, `recovery`, and the data: `state`,
`session`, `window`, `masters`, `ended_sessions`, `availability`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contracts.machines.exhaustive import assert_never
from contracts.messages import SlotStatus
from contracts.timing import ASIDE_AFTER
from worker_agent.core import claims, clock, cues, inputs, messages, orders
from worker_agent.core.actions import Action
from worker_agent.core.availability import Availability, Order
from worker_agent.core.config import AgentConfig
from worker_agent.core.inputs import Recovered
from worker_agent.core.journal import JournalReader
from worker_agent.core.recovery import recover
from worker_agent.core.session import Phase, Session, new_session
from worker_agent.core.state import AgentState
from worker_agent.core.transitions import happen
from worker_agent.core.views import awaited, status

__all__ = ["AgentConfig", "AgentMachine"]


class AgentMachine:
    """Inputs and clock ticks in, actions out. Never raises on an input, in whatever order inputs come."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        journal: JournalReader,
        new_id: Callable[[], str],
        now: float,
        recovered: Sequence[Recovered] = (),
    ) -> None:
        """`new_id` mints session ids, unique for ever. What `recovered` causes comes out of the first `handle`."""
        self._state = AgentState(config=config, journal=journal, new_id=new_id, now=now)
        self._idle_since = dict.fromkeys(range(config.slots), now)
        for found in recovered:
            recover(self._state, found)

    # ---- for views

    @property
    def availability(self) -> Availability:
        """Whether new work is taken, and why not."""
        return self._state.availability()

    @property
    def order(self) -> Order:
        """What was asked of the agent as a whole."""
        return self._state.order

    def slots(self) -> tuple[SlotStatus, ...]:
        """One entry a slot, then one for each session that is set aside. `since` is in the machine's seconds."""
        held = {session.slot: session for session in self._state.in_slots}
        aside = [session for session in self._state.sessions.values() if not session.takes_slot]
        slots = sorted({*range(self._state.config.slots), *held})
        return (
            *(
                status(held[slot]) if slot in held else SlotStatus(state="idle", since=self._idle_since[slot])
                for slot in slots
            ),
            *(status(session) for session in aside),
        )

    def waits_for(self, now: float) -> tuple[str, ...]:
        """What a drain waits for, for people: one text for each session that is held."""
        held = [session for session in self._state.sessions.values() if session.phase is Phase.HELD]
        return tuple(
            awaited(session, silent=now - clock.heard_at(self._state, session) > ASIDE_AFTER) for session in held
        )

    @property
    def deadline(self) -> float | None:
        """When to `handle` a `Tick`, at the latest; None: nothing is due. In the machine's seconds."""
        return None if self._state.order is Order.LEFT else clock.deadline(self._state)

    # ---- one input

    def handle(self, input: inputs.Input, now: float) -> list[Action]:
        """What to do about `input`, in order. `now`: monotonic seconds, never less than before."""
        state = self._state
        if state.order is Order.LEFT:
            return []
        state.now = now
        state.fitness.turn(now)
        for session in list(state.sessions.values()):
            self._do_due(session, clock.FIRST)
        self._take(input)
        for session in list(state.sessions.values()):
            self._on_time(session)
        claims.consume(state)
        self._note_idle_slots()
        if not state.in_slots:
            orders.ask(state, cues.NothingHeld())
        actions, state.actions = state.actions, []
        return actions

    def _note_idle_slots(self) -> None:
        busy = {session.slot for session in self._state.in_slots}
        for slot in range(self._state.config.slots):
            if slot in busy:
                self._idle_since.pop(slot, None)
            else:
                self._idle_since.setdefault(slot, self._state.now)

    def _take(self, input: inputs.Input) -> None:
        """To whom it happens."""
        state = self._state
        if isinstance(input, inputs.MessageReceived):
            messages.received(state, input.message, input.user, sealed=input.sealed)
        elif isinstance(input, inputs.OfferDelivered):
            self._offered(input)
        elif isinstance(input, (inputs.Confirmed, inputs.Refused)):
            self._answered(input)
        elif isinstance(input, (inputs.Journalled, inputs.PullWanted, inputs.KeeperLost)):
            session = state.sessions.get(input.session)
            if session is not None:
                happen(state, session, input)
        elif isinstance(input, (inputs.DeliveryLost, inputs.MachineChecked)):
            for session in list(state.sessions.values()):
                if session.delivery == input.delivery:
                    happen(state, session, input)
        elif isinstance(input, (inputs.LinkUp, inputs.LinkDown)):
            self._link(input)
        elif isinstance(input, inputs.QueuesKnown):
            state.queues = input.queues
        elif isinstance(input, inputs.Wellness):
            state.fitness.unwell = input.reasons
        elif isinstance(input, (inputs.Pause, inputs.Leave, inputs.ResumeWork, inputs.Stop)):
            orders.ask(state, input)
        elif not isinstance(input, inputs.Tick):
            assert_never(input)

    def _offered(self, delivered: inputs.OfferDelivered) -> None:
        """To the session that it belongs to, or to one of its own."""
        state, offer = self._state, delivered.offer
        if state.link is None:
            return  # the delivery went with its link
        same = [session for session in state.sessions.values() if session.serves(offer)]
        session = next((session for session in same if session.misses(offer)), same[0] if same else None)
        happen(state, session or new_session(offer, state.now), delivered)

    def _answered(self, answer: inputs.Confirmed | inputs.Refused) -> None:
        """The broker has taken what was published with this token, or has not. A `gone` is said again at link-up."""
        state, taken = self._state, isinstance(answer, inputs.Confirmed)
        kind, session_id = state.tokens.pop(answer.token, (None, ""))
        if kind == "gone" and taken:
            state.ended_sessions.told(session_id)
        session = state.sessions.get(session_id)
        if session is None:
            return
        if kind == "event":
            cue = cues.EventConfirmed if taken else cues.EventReturned
            happen(state, session, cue(token=answer.token))
        elif kind == "claim" and taken:
            happen(state, session, cues.ClaimConfirmed())
        elif kind == "claim":
            if isinstance(answer, inputs.Refused) and answer.returned and not session.is_direct:
                state.masters.mark_absent(session.owner)
            happen(state, session, cues.ClaimReturned())

    def _link(self, link: inputs.LinkUp | inputs.LinkDown) -> None:
        """Deliveries and unconfirmed publications of the link before are void."""
        state = self._state
        if state.link is not None:
            state.link = None
            state.consumed = frozenset()
            state.tokens.clear()
            for session in list(state.sessions.values()):
                happen(state, session, inputs.LinkDown())
        if isinstance(link, inputs.LinkUp):
            state.link, state.link_since = link, state.now
            for ended in state.ended_sessions.owed():
                state.say_gone(ended)
            for session in list(state.sessions.values()):
                happen(state, session, link)

    # ---- the clock

    def _on_time(self, session: Session) -> None:
        """Do what is due. After it nothing is due any more at this time."""
        state = self._state
        if session.journalled > session.window.last:
            happen(state, session, cues.EventsUnread())
        self._do_due(session, clock.DUE)
        if state.link is not None and session.is_resumed:
            happen(state, session, cues.EventsWaiting())
        self._do_due(session, clock.AFTER_EVENTS)

    def _do_due(self, session: Session, what: Sequence[tuple[cues.Due, clock.When]]) -> None:
        for cue, when in what:
            if session.phase is Phase.ABSENT:
                return
            time = when(self._state, session)
            if time is not None and time <= self._state.now:
                happen(self._state, session, cue)
