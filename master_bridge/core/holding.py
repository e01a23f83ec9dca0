"""A session in Buildbot's hands: attach, commands, interrupts, events, and its end (the lower half of the table)."""

from __future__ import annotations

from contracts.messages import Command, Event, Gone, Interrupt, Pull, Replay, Start, Stored
from contracts.timing import LIVES, REPLAY_INTERVAL, STORED_EVERY
from master_bridge.core.actions import Abandoned, Attach, CancelledEarlier, DeadOffer, Deliver, Lost, ServeData
from master_bridge.core.context import Context
from master_bridge.core.inputs import EventStored, InterruptCommand, StartCommand
from master_bridge.core.placing import Placing, commands_of
from master_bridge.core.records import Session, WorkUnit
from master_bridge.core.states import State

#: Reasons of `gone` that are nobody's death: they take no life of the request (rule 20).
HARMLESS = frozenset({"diverged", "refused", "released", "killed"})


class Holding:
    """What happens to a granted session once its agent has accepted."""

    def __init__(self, context: Context, placing: Placing) -> None:
        self._context = context
        self._placing = placing

    # attach

    def accepted(self, work: WorkUnit, session: Session) -> None:
        """GRANTED: attach; HELD (it resumed): repeat what may have been lost on the way."""
        context = self._context
        context.timers.set("accept", session.session, None)
        if session.first_grant == (session.address, context.links):
            session.seen_on = context.links
        if not work.attached:
            work.state = State.HELD
            if work.seek.kind == "command":
                session.commands = {command.n: command for command in commands_of(work.seek)}
            context.emit(Attach(request=work.request, holder=session.holder, adopted=session.resumed))
            context.changed(work)
        for n, command in session.commands.items():
            if n not in session.completed:
                self._start(session, command)
        for n, reason in session.interrupts.items():
            if n not in session.completed:
                self._interrupt(session, n, reason)
        if session.order.dropped:
            self._replay(session)

    # commands

    def start(self, work: WorkUnit, order: StartCommand) -> None:
        """Number a command of Buildbot's and have it started."""
        session = work.granted
        n = self.next_n(work)
        prepared = order.command
        command = Command(n=n, name=prepared.name, args=dict(prepared.args), digest=prepared.digest, step=prepared.step)
        session.commands[n] = command
        self._start(session, command)
        if session.order.dropped:
            self._replay(session)

    @staticmethod
    def next_n(work: WorkUnit | None) -> int:
        session = work.session if work is not None else None
        return max(session.commands, default=0) + 1 if session is not None else 1

    def interrupt(self, work: WorkUnit, order: InterruptCommand) -> None:
        """Remembered until the command completes, and repeated when the agent comes back."""
        session = work.granted
        if order.n < 1 or order.n in session.completed:
            return
        session.interrupts[order.n] = order.reason
        self._interrupt(session, order.n, order.reason)

    def _start(self, session: Session, command: Command) -> None:
        """To a missing agent nothing is sent: all that is open is repeated when it has come back and accepted."""
        if session.missing is None:
            start = Start(session=session.session, incarnation=self._context.config.incarnation, command=command)
            self._context.send(start, session.address, session.terms)

    def _interrupt(self, session: Session, n: int, reason: str) -> None:
        if session.missing is None:
            incarnation = self._context.config.incarnation
            interrupt = Interrupt(session=session.session, incarnation=incarnation, n=n, reason=reason)
            self._context.send(interrupt, session.address, session.terms)

    def pull(self, work: WorkUnit, pull: Pull) -> None:
        session = work.granted
        if pull.n in session.commands:
            self._context.emit(
                ServeData(
                    request=work.request,
                    session=session.session,
                    n=pull.n,
                    offset=pull.offset,
                    length=pull.length,
                    address=session.address,
                    terms=session.terms,
                )
            )

    # events

    def event(self, work: WorkUnit, event: Event, delivery: int) -> None:
        context, session = self._context, work.granted
        place = session.order.place(event, open_=work.attached and event.n in session.commands)
        if place != "next":
            context.ack(delivery)
            if place == "seen":
                self._tell_soon(session)
            elif place == "gap":
                self._replay(session)
            return
        session.order.deliver(event, delivery)
        if event.kind == "completed":
            session.completed.add(event.n)
            if event.interrupted is not None and event.n not in session.interrupts:
                context.emit(CancelledEarlier(request=work.request, reason=event.interrupted))
        context.emit(Deliver(request=work.request, event=event))

    def stored(self, session: Session, answer: EventStored) -> None:
        deliveries, much = session.order.store(answer.seq)
        for delivery in deliveries:
            self._context.ack(delivery)
        if much:
            self.tell(session)
        else:
            self._tell_soon(session)

    def _tell_soon(self, session: Session) -> None:
        context = self._context
        if context.active and not context.timers.is_set("stored", session.session):
            context.timers.set("stored", session.session, context.now + STORED_EVERY)

    def tell(self, session: Session) -> None:
        """Tell the agent up to where Buildbot has stored; a missing one hears it from its next grant."""
        context = self._context
        context.timers.set("stored", session.session, None)
        session.order.unreported = 0
        if session.missing is None:
            incarnation = context.config.incarnation
            stored = Stored(session=session.session, incarnation=incarnation, stored=session.order.stored)
            context.send(stored, session.address)

    def _replay(self, session: Session) -> None:
        """Ask for everything from the first unstored event on, now or when a second has passed since the last time."""
        context, order = self._context, session.order
        if context.now >= order.replay_after:
            self.replay(session)
        elif context.active:
            context.timers.set("replay", session.session, order.replay_after)

    def replay(self, session: Session) -> None:
        """A missing agent is asked when it has come back and accepted."""
        if session.missing is not None:
            return
        context, order = self._context, session.order
        context.timers.set("replay", session.session, None)
        order.replay_after = context.now + REPLAY_INTERVAL
        order.dropped = False
        incarnation = context.config.incarnation
        context.send(Replay(session=session.session, incarnation=incarnation, stored=order.stored), session.address)

    # ends

    def gone(self, work: WorkUnit, session: Session, gone: Gone) -> None:
        """The agent does not have it any more: no grace (rule 7), and no answer, which it would answer with `gone`."""
        detail = f" ({gone.detail})" if gone.detail else ""
        reason = f"agent {session.agent} does not have the session any more: {gone.reason}{detail}"
        self.lose(work, session, reason, deadly=gone.reason not in HARMLESS)

    def give_up(self, work: WorkUnit, session: Session, reason: str) -> None:
        """It was missing for too long: refuse it, should it come back (rule 10)."""
        self._placing.refuse_at(session.session, session.address, reason)
        self.lose(work, session, reason, deadly=True)

    def lose(self, work: WorkUnit, session: Session, reason: str, *, deadly: bool) -> None:
        """The session is over without a result.

        Attached: Buildbot is told, and asks again if it wants to. Not yet: the request waits again. One that has cost
        too many lives does neither (rule 20).
        """
        context, placing = self._context, self._placing
        lives = context.count_life(work.request) if deadly and work.running else 0
        attached = work.attached
        context.verdicts.put(session.session, "given up")
        placing.holders.pop(session.session, None)
        context.let_go(session)
        if lives >= LIVES:
            reason = f"{lives} agents were lost while they ran it; the last: {reason}"
            offer = placing.make_offer(work, ask=True)
            context.emit(DeadOffer(offer=offer, reason=reason, priority=work.seek.priority))
            placing.forget(work, "none")
            context.emit(Abandoned(request=work.request, reason=reason))
        elif attached:
            placing.forget(work, "none")
            context.emit(Lost(request=work.request, session=session.session, reason=reason))
        else:
            placing.to_waiting(work)
