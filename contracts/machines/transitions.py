"""State machines as data: one table says what each input does in each state. It is run, tested and drawn.

A machine looks a row up and calls its handler; tests compare what happened with `Table.allows`; the diagrams in docs/
are made from it (`docs/generate_diagrams.py`). Idea: h11, `_state.py`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Hashable)  # noqa: E741  # an input: an enum's member, or the class of an input or message
H = TypeVar("H", covariant=True)

#: These end or split a label in mermaid.
_NOT_IN_LABELS = re.compile(r"[:;\n]")


@dataclass(frozen=True)
class Row(Generic[S, H]):
    """What an input does in a state."""

    #: does it; the machine knows how it is called
    handler: H
    #: each state that may follow, and what is done on the way, for the diagram: few plain words, no colon or semicolon.
    #: A state that stays, with no words, is not drawn.
    to: Mapping[S, str]


class Table(Generic[S, I, H]):
    """`rows[state, input]`, or the reason in `ignored[state, input]` why nothing is to be done.

    Raises ValueError where a pair of state and input has neither or both, or a row leads nowhere.
    """

    def __init__(
        self,
        *,
        start: S,
        states: Iterable[S],
        inputs: Iterable[I],
        rows: Mapping[tuple[S, I], Row[S, H]],
        ignored: Mapping[tuple[S, I], str],
        ends: Iterable[S] = (),
    ) -> None:
        """`ends`: states in which nothing is looked up any more. `states` and `inputs` in the order of reading."""
        self.start = start
        self.states = tuple(states)
        self.ends = tuple(ends)
        self.inputs = tuple(inputs)
        self.rows = dict(rows)
        self.ignored = dict(ignored)
        self._check()

    def row(self, state: S, input: I) -> Row[S, H] | None:
        """None: nothing is to be done, as `ignored` says. KeyError for what the table does not know."""
        row = self.rows.get((state, input))
        if row is None and (state, input) not in self.ignored:
            raise KeyError(f"{state.name} knows no {words(input)}")
        return row

    def allows(self, before: S, input: I, after: S) -> bool:
        """May `input` lead from `before` to `after`?"""
        row = self.row(before, input)
        return after is before if row is None else after in row.to

    def moves(self) -> set[tuple[S, I, S]]:
        """All that rows allow."""
        return {(before, input, after) for (before, input), row in self.rows.items() for after in row.to}

    # ---- for people

    def diagram(self) -> str:
        """A mermaid state diagram: inputs with the same effect share an arrow."""
        arrows: dict[tuple[S, S, str], list[str]] = {}
        for state in self.states:
            for input in self.inputs:
                row = self.rows.get((state, input))
                for after, does in row.to.items() if row is not None else ():
                    if does or after is not state:
                        arrows.setdefault((state, after, does), []).append(words(input))
        lines = [f"    [*] --> {self.start.name}"]
        for (before, after, does), names in arrows.items():
            lines.append(f"    {before.name} --> {after.name}: {', '.join(names)}{f' / {does}' if does else ''}")
        lines += [f"    {state.name} --> [*]" for state in self.ends]
        return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])

    def left_out(self) -> str:
        """What is ignored, one line of Markdown a reason."""
        by_reason: dict[str, dict[str, list[str]]] = {}
        for input in self.inputs:
            for state in self.states:
                if (state, input) in self.ignored:
                    inputs = by_reason.setdefault(self.ignored[state, input], {})
                    inputs.setdefault(words(input), []).append(state.name)
        return "\n".join(f"- {reason}: {_by_states(inputs)}" for reason, inputs in by_reason.items())

    # ---- is it whole

    def _check(self) -> None:
        asked = {(state, input) for state in self.states if state not in self.ends for input in self.inputs}
        faults = [
            f"{_cell(cell)} has neither a row nor a reason" for cell in asked - self.rows.keys() - self.ignored.keys()
        ]
        faults += [f"{_cell(cell)} has a row and a reason" for cell in self.rows.keys() & self.ignored.keys()]
        faults += [f"{_cell(cell)} is not of this table" for cell in (self.rows.keys() | self.ignored.keys()) - asked]
        for cell, row in self.rows.items():
            if not row.to or not set(row.to) <= set(self.states):
                faults.append(f"{_cell(cell)} leads to no state of this table")
            faults += [
                f"{_cell(cell)}: {does!r} breaks a label" for does in row.to.values() if _NOT_IN_LABELS.search(does)
            ]
        if faults:
            raise ValueError("; ".join(sorted(faults)))


def words(input: Hashable) -> str:
    """An input for people: "claim refused" for a class `ClaimRefused` or an enum's `CLAIM_REFUSED`."""
    if isinstance(input, Enum):
        return input.name.lower().replace("_", " ")
    name = input.__name__ if isinstance(input, type) else str(input)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _cell(cell: tuple[Enum, Hashable]) -> str:
    return f"{cell[0].name} and {words(cell[1])}"


def _by_states(inputs: Mapping[str, list[str]]) -> str:
    """ "grant, refuse (A, B); later (A)"."""
    by_states: dict[str, list[str]] = {}
    for name, states in inputs.items():
        by_states.setdefault(", ".join(states), []).append(name)
    return "; ".join(f"{', '.join(names)} ({states})" for states, names in by_states.items())
