"""A session's events: out of the journal, through gate and window, to its bridge. Handlers of `transitions`."""

from __future__ import annotations

from contracts.messages import Event, Ping, Replay, Stored
from worker_agent.core import cues, runs
from worker_agent.core.actions import TrimJournal
from worker_agent.core.inputs import Journalled
from worker_agent.core.session import Session
from worker_agent.core.state import AgentState
from worker_agent.core.window import event_size

# ---- the journal grows


def journalled(state: AgentState, session: Session, news: Journalled) -> None:
    """The keeper has written: learn what it says, publish what the window and the gate let through."""
    if not session.journalled:
        state.fitness.keeper_works()
    session.journalled = max(session.journalled, news.seq)
    read_on(state, session)


def unread(state: AgentState, session: Session, cue: cues.EventsUnread) -> None:
    """Told before it could be read."""
    read_on(state, session)


def read_on(state: AgentState, session: Session, *, run: bool = True, told: bool = False) -> None:
    """Read what the journal has new; with `run`, a command offer's next command starts when it says so.

    `told`: an earlier main process has said in its log what ended.
    """
    window = session.window
    while window.last < session.journalled:
        event = state.journal.read(session.id, window.last + 1)
        if event is None:  # told before it can be read: the next input tries again
            break
        window.last = event.seq
        session.note(event, state.now)
        if event.kind == "completed" and not told:
            _ended(state, session, event)
        if event.seq == window.next:  # read once: it is in hand
            _publish(state, session, event)
    if run:
        runs.run_offer(state, session)


def _ended(state: AgentState, session: Session, event: Event) -> None:
    command = session.commands[event.n]
    state.report(
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


# ---- to the bridge


def waiting(state: AgentState, session: Session, cue: cues.EventsWaiting) -> None:
    """Window or gate may let more through than before."""
    publish(state, session)


def publish(state: AgentState, session: Session) -> None:
    """Publish from `next` on, as far as link, gate, window and journal go."""
    while state.link is not None and session.is_resumed and session.window.next <= session.window.last:
        seq = session.window.next
        if not session.window.has_room(session.window.size_of_next):
            return
        event = state.journal.read(session.id, seq)
        if event is None:
            detail = f"event {seq} of {session.window.last} is no longer in the journal"
            state.alarm("journal_incomplete", detail, session)
            state.end(session, "give back", "lost", detail, tell=True)
            return
        if not _publish(state, session, event):
            return


def _publish(state: AgentState, session: Session, event: Event) -> bool:
    size = event_size(event)
    if state.link is None or not session.is_resumed:
        return False
    if not session.may_publish(event.n):
        return False
    if not session.window.has_room(size):
        session.window.keep_back(size)
        return False
    token = state.token("event", session.id)
    session.window.published(size, token, state.now)
    state.publish(event, session.master, "events", token)
    return True


def confirmed(state: AgentState, session: Session, cue: cues.EventConfirmed) -> None:
    """The broker has it."""
    session.window.confirmed(cue.token)
    publish(state, session)


def returned(state: AgentState, session: Session, cue: cues.EventReturned) -> None:
    """The broker has not: again later."""
    session.window.refused(cue.token, state.now)
    publish(state, session)


def resend(state: AgentState, session: Session, cue: cues.ResendDue) -> None:
    """Nobody said that they arrived."""
    session.window.resend(state.now)


# ---- what Buildbot has stored


def reported(state: AgentState, session: Session, message: Ping | Stored) -> None:
    """Buildbot has stored events up to `stored`."""
    state.heard_holder(session)
    if stored(state, session, message.stored, rewind=False):
        publish(state, session)


def replay(state: AgentState, session: Session, message: Replay) -> None:
    """… and it wants all after that again."""
    state.heard_holder(session)
    if stored(state, session, message.stored, rewind=True):
        publish(state, session)


def stored(state: AgentState, session: Session, seq: int, *, rewind: bool) -> bool:
    """Buildbot has stored events up to `seq`; with `rewind` it wants all after that again.

    False: the session ended, because the bridge has stored more than this journal holds.
    """
    read_on(state, session, run=False)
    if seq > session.window.last:
        detail = f"the master has stored event {seq}, the journal ends with {session.window.last}"
        state.alarm("journal_incomplete", detail, session)
        state.end(session, "give back", "lost", detail, tell=True)
        return False
    news = seq > session.window.stored
    if rewind:
        session.window.rewind(seq, state.now)
    else:
        session.window.advance(seq, state.now)
    if news:
        state.do(TrimJournal(session=session.id, seq=seq))
    return True
