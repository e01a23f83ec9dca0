"""Looks on while a bridge's machine works: is each move of a request, or of a noted session, one that its table has?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contracts.machines.transitions import words
from master_bridge.core import rollcall
from master_bridge.core.machine import BridgeMachine
from master_bridge.core.states import OnRoll, State
from master_bridge.core.transitions import TABLE

Move = tuple[State, type, State]


class Moves:
    """What happened so far, and what was wrong with it."""

    def __init__(self, table: Any = TABLE) -> None:
        self.seen: Counter[Move] = Counter()
        #: of sessions that nobody has asked for
        self.on_roll: Counter[tuple[OnRoll, rollcall.Cue, OnRoll]] = Counter()
        self.faults: list[str] = []
        self._table = table

    def watch(self, machine: BridgeMachine) -> None:
        left: dict[str, State] = {}

        def happened(request: str, before: State, cue: type, after: State) -> None:
            was = left.get(request, State.NONE)
            if was is not before:
                self.faults.append(f"{was.name} became {before.name} beside the table")
            if not self._table.allows(before, cue, after):
                self.faults.append(f"{before.name} became {after.name} upon {words(cue)}")
            self.seen[before, cue, after] += 1
            left[request] = after

        def noted(before: OnRoll, cue: rollcall.Cue, after: OnRoll) -> None:
            if not rollcall.TABLE.allows(before, cue, after):
                self.faults.append(f"on the roll {before.name} became {after.name} upon {words(cue)}")
            self.on_roll[before, cue, after] += 1

        machine._parts.watch = happened
        machine._roll.watch = noted

    @contextmanager
    def watching_all(self) -> Iterator[None]:
        """Every machine that is made within."""
        plain = BridgeMachine.__init__

        def watched(machine: BridgeMachine, **arguments: Any) -> None:
            plain(machine, **arguments)
            self.watch(machine)

        BridgeMachine.__init__ = watched  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            BridgeMachine.__init__ = plain  # type: ignore[method-assign]


def text(move: Move) -> str:
    before, cue, after = move
    return f"{before.name} → {after.name}: {words(cue)}"
