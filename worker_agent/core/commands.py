"""The commands of a session: start once, follow, interrupt; and its events: out of the journal, through the window."""

from __future__ import annotations

from contracts.messages import Command, Data, Event
from contracts.timing import EVENT_RESEND
from worker_agent.core.actions import CompleteUnstarted, FeedData, InterruptCommand, RunCommand, TrimJournal
from worker_agent.core.inputs import PullWanted
from worker_agent.core.session import CommandState, Phase, Session
from worker_agent.core.state import AgentState
from worker_agent.core.window import event_size


class Commands:
    """All that happens between a session's bridge and its keeper."""

    def __init__(self, state: AgentState) -> None:
        self._state = state

    # ---- starting

    def start(self, session: Session, command: Command, now: float) -> None:
        """The bridge starts command `n` (agent's table: "start of a known n", rule 14)."""
        known = session.commands.get(command.n)
        if known is not None and known.digest != command.digest:
            detail = f"command {command.n} ({command.name}) is not the one that this session has executed"
            self._state.alarm("session_diverged", detail, session)
            self._state.end(session, "give back", "diverged", detail, tell=True)
            return
        if known is None:
            if not session.keeper or session.phase is Phase.ASIDE:
                detail = f"command {command.n} ({command.name}) cannot start: the session's keeper has ended"
                self._state.alarm("session_lost", detail, session)
                self._state.end(session, "give back", "lost", detail, tell=True)
                return
            known = CommandState(digest=command.digest, command=command, name=command.name, step=command.step)
            session.commands[command.n] = known
            session.finished_at = None
            if session.offer.kind == "build":
                self._run(session, known, command, session.interrupts.get(command.n))
        session.followed.add(command.n)
        known.step = command.step
        self.run_offer(session)
        self.publish_events(session, now)
        if command.n in session.pulls:
            self._state.say_pull(session, command.n, now)

    def run_offer(self, session: Session) -> None:
        """Run the next command of a command offer, if none is running."""
        if session.offer.kind != "command" or session.phase is not Phase.HELD or not session.keeper:
            return
        known = session.next_of_offer()
        if known is None or known.command is None:
            return
        reason = session.interrupts.get(known.command.n) or session.interrupted_earlier()
        self._run(session, known, known.command, reason)

    def _run(self, session: Session, known: CommandState, command: Command, interrupted: str | None) -> None:
        known.started = True
        known.command = None
        self._state.persist(session)
        self._state.report("command", session, step=known.step, n=command.n, name=command.name)
        if interrupted is None:
            self._state.do(RunCommand(session=session.id, command=command))
        else:
            session.interrupts.pop(command.n, None)
            self._state.do(CompleteUnstarted(session=session.id, command=command, reason=interrupted))

    def interrupt(self, session: Session, n: int, reason: str) -> None:
        """Rule 14: one that has not started is interrupted when it does."""
        known = session.commands.get(n)
        if known is None or not known.started:
            session.interrupts[n] = reason
        elif not known.completed:
            self._state.do(InterruptCommand(session=session.id, n=n, reason=reason))

    # ---- downloads

    def pull(self, session: Session, wanted: PullWanted, now: float) -> None:
        """A download wants bytes. Remembered until they come: a pull may get lost, or its bridge may restart."""
        known = session.commands.get(wanted.n)
        if known is None or not known.running:
            return
        session.pulls[wanted.n] = (wanted, now + EVENT_RESEND)
        self._state.say_pull(session, wanted.n, now)

    def data(self, session: Session, data: Data) -> None:
        known = session.commands.get(data.n)
        if known is None or not known.running:
            return
        wanted = session.pulls.get(data.n)
        if wanted is not None and wanted[0].offset == data.offset:
            del session.pulls[data.n]
        self._state.do(
            FeedData(session=session.id, n=data.n, offset=data.offset, size=data.size, data=data.data),
        )

    # ---- events

    def journalled(self, session: Session, seq: int, now: float) -> None:
        """The keeper has written up to `seq`: learn what it says, publish what the window and the gate let through."""
        session.journalled = max(session.journalled, seq)
        self.read_on(session, now)

    def read_on(self, session: Session, now: float, *, run: bool = True, told: bool = False) -> None:
        """Read what the journal has new; with `run`, a command offer's next command starts when it says so.

        `told`: an earlier main process has said in its log what ended.
        """
        window = session.window
        while window.last < session.journalled:
            event = self._state.journal.read(session.id, window.last + 1)
            if event is None:  # told before it can be read: the next input tries again
                break
            window.last = event.seq
            session.note(event, now)
            if event.kind == "completed" and not told:
                self._ended(session, event)
            if event.seq == window.next:  # read once: it is in hand
                self._publish(session, event, now)
        if run:
            self.run_offer(session)

    def _ended(self, session: Session, event: Event) -> None:
        command = session.commands[event.n]
        self._state.report(
            "command_ended",
            session,
            step=command.step,
            n=event.n,
            name=command.name,
            exit_code=command.exit_code,
            seconds=None if command.elapsed is None else round(command.elapsed, 3),
            interrupted=event.interrupted,
            failure=event.value if isinstance(event.value, str) else None,
            infrastructure=event.infrastructure,
        )

    def publish_events(self, session: Session, now: float) -> None:
        """Publish from `next` on, as far as link, gate, window and journal go."""
        while self._state.link is not None and session.is_resumed and session.window.next <= session.window.last:
            seq = session.window.next
            if not session.window.has_room(session.window.size_of_next):
                return
            event = self._state.journal.read(session.id, seq)
            if event is None:
                detail = f"event {seq} of {session.window.last} is no longer in the journal"
                self._state.alarm("journal_incomplete", detail, session)
                self._state.end(session, "give back", "lost", detail, tell=True)
                return
            if not self._publish(session, event, now):
                return

    def _publish(self, session: Session, event: Event, now: float) -> bool:
        size = event_size(event)
        if self._state.link is None or not session.is_resumed:
            return False
        if not session.may_publish(event.n):
            return False
        if not session.window.has_room(size):
            session.window.keep_back(size)
            return False
        token = self._state.token("event", session.id)
        session.window.published(size, token, now)
        self._state.publish(event, session.master, "events", token)
        return True

    def stored(self, session: Session, stored: int, now: float, *, rewind: bool) -> bool:
        """Buildbot has stored events up to `stored`; with `rewind` it wants all after that again.

        False: the session ended, because the bridge has stored more than this journal holds.
        """
        self.read_on(session, now, run=False)
        if stored > session.window.last:
            detail = f"the master has stored event {stored}, the journal ends with {session.window.last}"
            self._state.alarm("journal_incomplete", detail, session)
            self._state.end(session, "give back", "lost", detail, tell=True)
            return False
        news = stored > session.window.stored
        if rewind:
            session.window.rewind(stored, now)
        else:
            session.window.advance(stored, now)
        if news:
            self._state.do(TrimJournal(session=session.id, seq=stored))
        return True
