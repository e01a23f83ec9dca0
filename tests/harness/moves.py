"""Looks on while an agent's machine works: is each move of a session one that the table has?"""

from __future__ import annotations

from collections import Counter
from typing import Any

from contracts.machines.transitions import words
from worker_agent.core.machine import AgentMachine
from worker_agent.core.session import Phase, Session
from worker_agent.core.transitions import TABLE

Move = tuple[Phase, type, Phase]


class Moves:
    """What happened so far, and what was wrong with it."""

    def __init__(self, table: Any = TABLE) -> None:
        self.seen: Counter[Move] = Counter()
        self.faults: list[str] = []
        self._table = table
        #: by object: a session and the phase in which it was left
        self._left: dict[int, tuple[Session, Phase]] = {}

    def watch(self, machine: AgentMachine) -> None:
        machine._state.watch = self._happened

    def _happened(self, session: Session, before: Phase, cue: type) -> None:
        _, left = self._left.get(id(session), (session, before))
        if left is not before:
            self.faults.append(f"{left.name} became {before.name} beside the table")
        after = session.phase
        if not self._table.allows(before, cue, after):
            self.faults.append(f"{before.name} became {after.name} upon {words(cue)}")
        self.seen[before, cue, after] += 1
        self._left[id(session)] = (session, after)


def text(move: Move) -> str:
    before, cue, after = move
    return f"{before.name} → {after.name}: {words(cue)}"
