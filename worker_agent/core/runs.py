"""A command starts: at once for a build, one after the other for a command offer."""

from __future__ import annotations

from worker_agent.core.actions import CompleteUnstarted, RunCommand
from worker_agent.core.session import CommandState, Session, Stage
from worker_agent.core.state import AgentState


def run_offer(state: AgentState, session: Session) -> None:
    """Run the next command of a command offer, if none is running. Where its keeper has ended none waits: it has
    finished, or is lost."""
    if session.offer.kind != "command":
        return
    known = session.next_of_offer()
    if known is not None and known.command is not None:
        reason = session.interrupts.get(known.command.n) or session.interrupted_earlier()
        run(state, session, known, reason)


def run(state: AgentState, session: Session, known: CommandState, interrupted: str | None) -> None:
    """`interrupted`: why it was interrupted before it started; then it only completes (rule 14)."""
    command, known.command = known.command, None
    assert command is not None, "one that waits is known in full"
    known.stage = Stage.RUNNING
    state.persist(session)
    state.report("command", session, step=known.step, n=command.n, name=command.name)
    if interrupted is None:
        state.do(RunCommand(session=session.id, command=command))
    else:
        session.interrupts.pop(command.n, None)
        state.do(CompleteUnstarted(session=session.id, command=command, reason=interrupted))
