"""The commands of a held session: start once, interrupt, feed (rules 3, 14). Handlers of `transitions`."""

from __future__ import annotations

from contracts.messages import Data, Interrupt, Start
from contracts.timing import EVENT_RESEND
from worker_agent.core import cues, events, runs
from worker_agent.core.actions import FeedData, InterruptCommand
from worker_agent.core.inputs import PullWanted
from worker_agent.core.session import CommandState, Session
from worker_agent.core.state import AgentState


def start(state: AgentState, session: Session, message: Start) -> None:
    """The bridge starts command `n` (agent's table: "start of a known n", rule 14)."""
    state.heard_holder(session)
    command = message.command
    known = session.commands.get(command.n)
    if known is not None and known.digest != command.digest:
        detail = f"command {command.n} ({command.name}) is not the one that this session has executed"
        state.alarm("session_diverged", detail, session)
        state.end(session, "give back", "diverged", detail, tell=True)
        return
    if known is None:
        if not session.can_run:
            detail = f"command {command.n} ({command.name}) cannot start: the session's keeper has ended"
            state.alarm("session_lost", detail, session)
            state.end(session, "give back", "lost", detail, tell=True)
            return
        known = CommandState(digest=command.digest, command=command, name=command.name, step=command.step)
        session.commands[command.n] = known
        session.finished_at = None
        if session.offer.kind == "build":
            runs.run(state, session, known, session.interrupts.get(command.n))
    session.followed.add(command.n)
    known.step = command.step
    runs.run_offer(state, session)
    events.publish(state, session)
    if command.n in session.pulls:
        state.say_pull(session, command.n, state.now)


def interrupt(state: AgentState, session: Session, message: Interrupt) -> None:
    """Rule 14: one that has not started is interrupted when it does."""
    state.heard_holder(session)
    known = session.commands.get(message.n)
    if known is None or not known.started:
        session.interrupts[message.n] = message.reason
    elif not known.completed:
        state.do(InterruptCommand(session=session.id, n=message.n, reason=message.reason))


# ---- downloads


def pull(state: AgentState, session: Session, wanted: PullWanted) -> None:
    """A download wants bytes. Remembered until they come: a pull may get lost, or its bridge may restart."""
    known = session.commands.get(wanted.n)
    if known is not None and known.running:
        session.pulls[wanted.n] = (wanted, state.now + EVENT_RESEND)
        state.say_pull(session, wanted.n, state.now)


def pull_again(state: AgentState, session: Session, cue: cues.PullDue) -> None:
    """The bytes have not come."""
    for n, (_, due) in list(session.pulls.items()):
        if due <= state.now:
            state.say_pull(session, n, state.now)


def data(state: AgentState, session: Session, message: Data) -> None:
    """The bytes of a download."""
    state.heard_holder(session)
    known = session.commands.get(message.n)
    if known is None or not known.running:
        return
    wanted = session.pulls.get(message.n)
    if wanted is not None and wanted[0].offset == message.offset:
        del session.pulls[message.n]
    state.do(
        FeedData(session=session.id, n=message.n, offset=message.offset, size=message.size, data=message.data),
    )
