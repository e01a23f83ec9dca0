r"""The agent's state machine: all of PROTOCOL's agent-side rules and its table "Agent, per slot", without any I/O.

One session per slot, and what becomes of it:

                                     IDLE <────────────────────────────────────────────────┐
         offer │                       │ command offer, first delivery (rule 15)           │
  (silent      │ cancel consumers      │ cancel consumers, journal, open,                  │
   master:     │ claim, ≤ 5 s          │ claim                                             │
   park) ┌─────v────┐            ┌─────v──────┐  refuse → ack · later, 5 s → park          │
         │ CLAIMING │            │ CONFIRMING │  link lost → drop · drain → give back      │
         └─────┬────┘            └─────┬──────┘ (CLAIMING, CONFIRMING, AWAITING) ──────────┤
               │ grant:                │ confirm            (AWAITING, link lost: run)      │
               │ journal, open,   ┌────v─────┐ master silent: at once                      │
               │ accept           │ AWAITING │ else ≤ 1 s for a grant                      │
               │                  └────┬─────┘                                             │
               │                       │ grant: accept, run · 1 s: run                     │
               │   ┌───────────────────v───────────────────┐                               │
               └──>│                 HELD                  │ release → clean up, ack ──────┤
                   │ start, interrupt, events, data        │ refuse of a resume, Stop,     │
                   │ link-up, rollcall, 8 s of silence:    │ fenced, diverged, keeper lost │
                   │ resume;  grant: rewind, accept        │ → kill, clean up, give back ──┘
                   └───────────────────┬───────────────────┘
                                       │ rule 17: command offer finished, all events confirmed, master silent 10 s:
                                       │ ack, slot free, keep the journal
                                  ┌────v────┐
                                  │  ASIDE  │ resumes as HELD does; grant, replay → events
                                  └────┬────┘ release, refuse, diverged → delete
                                       v
                                    (nothing)

Whatever comes for a session that is not there is answered `gone`, from what `farewells` remembers of it.

The gate. Before its first grant a session (a command offer's first delivery) publishes events as they come. A grant of
a new incarnation rewinds to `stored` and closes the gate: events of command n go out again only after that incarnation
sent `start` of n with the digest that the agent has executed; another digest ends the session (diverged). So a changed
command is found before a wrong line is stored. The gate stays open where nothing had been executed when the grant came
(what runs then is this bridge's), or where the grant comes from the very incarnation that was heard before the claim.

What the table leaves out, and what is done:

- A claim that the broker refuses (no such queue, or full) marks the master silent and parks the offer. One of a master
  that has no queue here is buried when it was parked `PARKINGS_MAX` times: nobody will ever answer for it.
- A claim unconfirmed for 5 s: park; the broker is at fault, so the master is not called silent.
- Strict fencing: such an offer never runs without a grant, or nobody would wait for the end of what runs. The clock
  starts at the last word of the bridge about the session; it kills only where a command runs or is still to run.
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

Deterministic: time and ids are passed in. Files: `intake` (IDLE to HELD), `dialogue` (messages), `commands` (keeper and
events), `recovery`, and the data: `session`, `window`, `masters`, `farewells`, `state`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contracts.messages import SlotStatus
from contracts.timing import ASIDE_AFTER, ORPHAN_IDLE, SILENCE_BEFORE_RESUME
from worker_agent.core import inputs
from worker_agent.core.actions import Action, CloseSession, Exit
from worker_agent.core.commands import Commands
from worker_agent.core.config import AgentConfig
from worker_agent.core.dialogue import Dialogue
from worker_agent.core.farewells import Reason
from worker_agent.core.fitness import Fitness
from worker_agent.core.inputs import Recovered
from worker_agent.core.intake import Intake
from worker_agent.core.journal import JournalReader
from worker_agent.core.recovery import recover
from worker_agent.core.session import Phase, Session
from worker_agent.core.state import AgentState
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
        self._commands = Commands(self._state)
        self._intake = Intake(self._state, self._commands)
        self._dialogue = Dialogue(self._state, self._intake, self._commands)
        self._fitness = Fitness()
        self._draining = False
        self._parked = False
        self._stopped = False
        self._exited = False
        self._idle_since = dict.fromkeys(range(config.slots), now)
        for found in recovered:
            recover(self._state, self._commands, found, now)

    # ---- for views

    @property
    def draining(self) -> bool:
        """No new work is taken, because somebody asked for that."""
        return self._draining or self._stopped

    @property
    def parked(self) -> bool:
        """No new work is taken until somebody resumes it; what is held goes on, and the agent stays."""
        return self._parked

    def slots(self) -> tuple[SlotStatus, ...]:
        """One entry a slot, then one for each session that is set aside. `since` is in the machine's seconds."""
        held = {session.slot: session for session in self._state.sessions.values() if session.takes_slot}
        aside = [session for session in self._state.sessions.values() if not session.takes_slot]
        slots = sorted({*range(self._state.config.slots), *held})
        return (
            *(
                status(held[slot]) if slot in held else SlotStatus(state="idle", since=self._idle_since.get(slot, 0.0))
                for slot in slots
            ),
            *(status(session) for session in aside),
        )

    def waits_for(self, now: float) -> tuple[str, ...]:
        """What a drain waits for, for people: one text for each session that is held."""
        held = [session for session in self._state.sessions.values() if session.phase is Phase.HELD]
        return tuple(awaited(session, silent=now - self._heard_at(session) > ASIDE_AFTER) for session in held)

    def _heard_at(self, session: Session) -> float:
        """When its master was heard last, of whatever."""
        return max(self._state.masters.heard_at(session.owner) or session.since, session.heard_at)

    @property
    def deadline(self) -> float | None:
        """When to `handle` a `Tick`, at the latest; None: nothing is due. In the machine's seconds."""
        if self._exited:
            return None
        due = [time for session in self._state.sessions.values() for time in self._times(session)]
        if self._fitness.paused_until is not None:
            due.append(self._fitness.paused_until)
        return min(due, default=None)

    # ---- one input

    def handle(self, input: inputs.Input, now: float) -> list[Action]:
        """What to do about `input`, in order. `now`: monotonic seconds, never less than before."""
        state = self._state
        if self._exited:
            return []
        state.now = now
        for session in list(state.sessions.values()):
            self._fence(session, now)  # first: a word that waited while this machine was suspended is no contact
        self._take(input, now)
        for session in list(state.sessions.values()):
            self._on_time(session, now)
        self._intake.open = self._fitness.fit(now) and not self.draining and not self._parked
        self._intake.consume()
        busy = {session.slot for session in state.sessions.values() if session.takes_slot}
        for slot in range(state.config.slots):
            if slot in busy:
                self._idle_since.pop(slot, None)
            else:
                self._idle_since.setdefault(slot, now)
        if self.draining and not busy:
            self._exited = True
            state.do(Exit())
        actions, state.actions = state.actions, []
        return actions

    def _take(self, input: inputs.Input, now: float) -> None:
        state = self._state
        if isinstance(input, inputs.MessageReceived):
            self._dialogue.received(input.message, input.user, now)
        elif isinstance(input, inputs.OfferDelivered):
            self._intake.offered(input, now)
        elif isinstance(input, inputs.Confirmed):
            self._confirmed(input.token, now)
        elif isinstance(input, inputs.Refused):
            self._refused(input, now)
        elif isinstance(input, inputs.Journalled):
            session = state.sessions.get(input.session)
            if session is not None:
                if not session.journalled:
                    self._fitness.keeper_works()
                self._commands.journalled(session, input.seq, now)
        elif isinstance(input, inputs.PullWanted):
            session = state.sessions.get(input.session)
            if session is not None:
                self._commands.pull(session, input, now)
        elif isinstance(input, inputs.KeeperLost):
            self._keeper_lost(input, now)
        elif isinstance(input, inputs.DeliveryLost):
            for session in state.sessions.values():
                if session.delivery == input.delivery:
                    session.delivery = None  # the bridge, not the broker, decides who holds it
        elif isinstance(input, inputs.LinkUp):
            self._link_down(now)
            self._link_up(input, now)
        elif isinstance(input, inputs.LinkDown):
            self._link_down(now)
        elif isinstance(input, inputs.QueuesKnown):
            self._intake.queues = input.queues
        elif isinstance(input, inputs.Wellness):
            self._fitness.well = not input.reasons
        elif isinstance(input, inputs.Drain):
            self._drain(input)
        elif isinstance(input, inputs.Stop):
            self._stop()

    def _confirmed(self, token: int, now: float) -> None:
        """The broker has taken what was published with this token."""
        kind, session_id = self._state.tokens.pop(token, (None, ""))
        session = self._state.sessions.get(session_id)
        if kind == "gone":
            self._state.farewells.told(session_id)
        elif session is not None and kind == "event":
            session.window.confirmed(token)
            self._commands.publish_events(session, now)
        elif session is not None and kind == "claim":
            self._intake.confirmed(session, token, now)

    def _refused(self, refused: inputs.Refused, now: float) -> None:
        """The broker has not taken it. A farewell is said again at the next link-up."""
        kind, session_id = self._state.tokens.pop(refused.token, (None, ""))
        session = self._state.sessions.get(session_id)
        if session is not None and kind == "event":
            session.window.refused(refused.token, now)
            self._commands.publish_events(session, now)
        elif session is not None and kind == "claim":
            self._intake.refused_by_broker(session, returned=refused.returned)

    # ---- the link

    def _link_up(self, link: inputs.LinkUp, now: float) -> None:
        state = self._state
        state.link, state.link_since = link, now
        for farewell in state.farewells.owed():
            state.say_gone(farewell)
        for session in list(state.sessions.values()):
            session.resume_delay = SILENCE_BEFORE_RESUME
            state.say_resume(session, now)
            self._commands.publish_events(session, now)

    def _link_down(self, now: float) -> None:
        """Deliveries and unconfirmed publications are void; what runs, runs on and is spooled."""
        state = self._state
        if state.link is None:
            return
        state.link = None
        state.consumed = frozenset()
        state.tokens.clear()
        for session in list(state.sessions.values()):
            session.delivery = None
            session.answer_due = None
            session.window.link_lost()
            if session.is_pending:
                self._intake.link_lost(session, now)

    # ---- the keeper

    def _keeper_lost(self, lost: inputs.KeeperLost, now: float) -> None:
        state = self._state
        session = state.sessions.get(lost.session)
        if session is None or session.phase is Phase.ASIDE:
            return
        session.keeper = False
        if session.has_finished and session.phase is Phase.HELD:
            return
        detail = f"the session's processes ended with their keeper: {lost.reason}"
        reason: Reason = "lost"
        if not session.journalled:  # nobody's life: the agent is there, and no command has run (rule 20)
            detail += f"; no new work for {self._fitness.keeper_failed(now):g} s"
            reason = "killed"
        state.alarm("keeper_lost", detail, session)
        state.end(session, "give back" if session.executed else "park", reason, detail, tell=True)

    # ---- drain and stop

    def _drain(self, drain: inputs.Drain) -> None:
        if drain.resume:
            self._draining = self._parked = False
        elif not drain.exit:
            self._parked = True
            self._turn_away()
        elif self.draining:
            self._stop()
        else:
            self._draining = True
            self._turn_away()

    def _stop(self) -> None:
        self._stopped = True
        self._turn_away()
        for session in list(self._state.sessions.values()):
            if session.phase is Phase.HELD:
                self._state.end(session, "give back", "killed", "the agent was stopped", tell=True)

    def _turn_away(self) -> None:
        self._state.cancel_consumers()
        for session in list(self._state.sessions.values()):
            if session.is_pending:
                self._intake.give_up(session)

    # ---- the clock

    def _times(self, session: Session) -> list[float]:
        """When something is due for this session."""
        times = [session.answer_due, session.run_due, _fenced_at(session), self._pointless_at(session)]
        if self._state.link is not None and session.is_resumed:
            times += [session.resume_due, session.window.resend_at(session.heard_at), self._aside_at(session)]
            times += [due for _, due in session.pulls.values()]
        return [time for time in times if time is not None]

    def _on_time(self, session: Session, now: float) -> None:
        """Do what is due. After it nothing is due any more at `now`."""
        state = self._state
        if session.journalled > session.window.last:
            self._commands.read_on(session, now)
        if session.answer_due is not None and session.answer_due <= now:
            self._intake.unanswered(session)
        if session.run_due is not None and session.run_due <= now and session.id in state.sessions:
            self._intake.run_at_once(session, now)
        pointless_at = self._pointless_at(session)
        if pointless_at is not None and pointless_at <= now and session.id in state.sessions:
            detail = f"no command was started in it, and master {session.master} is silent"
            state.end(session, "give back", "killed", detail, tell=True)
        if state.link is None or not session.is_resumed or session.id not in state.sessions:
            return
        if session.resume_due <= now:
            state.say_resume(session, now)
        resend_at = session.window.resend_at(session.heard_at)
        if resend_at is not None and resend_at <= now:
            session.window.resend(now)
        for n, (_, due) in list(session.pulls.items()):
            if due <= now:
                state.say_pull(session, n, now)
        self._commands.publish_events(session, now)
        aside_at = self._aside_at(session)
        if aside_at is not None and aside_at <= now and session.id in state.sessions:
            self._set_aside(session, now)

    def _fence(self, session: Session, now: float) -> None:
        fenced_at = _fenced_at(session)
        if fenced_at is not None and fenced_at <= now:
            detail = f"no contact with master {session.master} for {session.offer.fencing:g} s (strict fencing)"
            self._state.alarm("session_fenced", detail, session)
            self._state.end(session, "give back", "killed", detail, tell=True)

    def _pointless_at(self, session: Session) -> float | None:
        """Rule 17: granted, nothing was executed, and its master is silent: nothing is lost with it.

        Whoever drains the agent waits for what has a meaning. Otherwise as long as a bridge waits for such a one.
        """
        if session.phase is not Phase.HELD or session.executed:
            return None
        patience = ASIDE_AFTER if self.draining or self._parked else ORPHAN_IDLE
        since = max(self._heard_at(session), session.since)
        return max(since, self._state.link_since if self._state.link is not None else since) + patience

    def _aside_at(self, session: Session) -> float | None:
        """Rule 17: finished, all events confirmed, and the master silent for 10 s, as far as this link can tell."""
        if session.phase is not Phase.HELD or session.finished_at is None or not session.window.all_confirmed:
            return None
        heard_at = self._state.masters.heard_at(session.owner)
        return max(session.finished_at, self._state.link_since, heard_at or session.since) + ASIDE_AFTER

    def _set_aside(self, session: Session, now: float) -> None:
        session.phase, session.since = Phase.ASIDE, now
        session.keeper = False
        self._state.persist(session)
        self._state.do(CloseSession(session=session.id, keep_journal=True))
        self._state.settle(session.delivery, "ack")
        session.delivery = None


def _fenced_at(session: Session) -> float | None:
    """Strict fencing: when what runs must be dead."""
    if session.offer.fencing is None or session.phase is not Phase.HELD:
        return None
    if all(command.completed for command in session.commands.values()):
        return None
    return session.contact_at + session.offer.fencing
