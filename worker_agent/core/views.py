"""What people are shown of a session: its slot's status, and what a drain waits for."""

from __future__ import annotations

from contracts.messages import SlotStatus
from worker_agent.core.session import Phase, Session


def status(session: Session) -> SlotStatus:
    """Of the slot that it takes, or took; `since` is in the machine's seconds."""
    state = "held" if session.phase is Phase.HELD else "aside" if session.phase is Phase.ASIDE else "claiming"
    return SlotStatus.model_validate(
        {
            "state": state,
            "session": session.id,
            "master": session.master,
            "title": session.offer.title,
            "since": session.since,
            "direct": session.is_direct,
        }
    )


def awaited(session: Session, *, silent: bool) -> str:
    """For a log: "gtk #17 of master m1: step compile runs". `silent`: its master is not heard."""
    whose = f"{session.offer.title or session.offer.request} of master {session.master}"
    return f"{whose}{', which is silent' if silent else ''}: {_does(session)}"


def _does(session: Session) -> str:
    running = [command for command in session.commands.values() if command.running]
    if not running:
        return "no command runs" if session.executed else "no command was started yet"
    names = [f"step {command.step}" if command.step else f"command {command.name}" for command in running]
    return f"{', '.join(names)} {'runs' if len(names) == 1 else 'run'}"
