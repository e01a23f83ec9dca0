"""A table as it is written and read: a line for each input, with what it does in which states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from contracts.machines.transitions import Row, Table

S = TypeVar("S", bound=Enum)
H = TypeVar("H")
D = TypeVar("D", covariant=True)


@dataclass(frozen=True)
class Does(Generic[S, D]):
    """A row for each of some states."""

    handler: D
    states: tuple[S, ...]
    stays: str | None
    to: Mapping[S, str]


@dataclass(frozen=True)
class Ignored(Generic[S]):
    """Why nothing is to be done in some states."""

    reason: str
    states: tuple[S, ...]


@dataclass(frozen=True)
class Line(Generic[S, D]):
    """One input of a table, with what comes of it in each state."""

    #: an enum's member, or the class of an input or message
    input: Any
    parts: tuple[Does[S, D] | Ignored[S], ...]


def row(handler: H, *states: S, stays: str | None = None, to: Mapping[S, str] | None = None) -> Does[S, H]:
    """`stays`: the state may stay, and what is done then. `to`: what may follow, and what is done on the way."""
    return Does(handler, states, stays, to or {})


def ignored(reason: str, *states: S) -> Ignored[S]:
    """Of a line: in these states nothing is to be done, for this reason."""
    return Ignored(reason, states)


def table_of(
    lines: Iterable[Line[S, Any]], *, start: S, states: Iterable[S], ends: Iterable[S] = ()
) -> Table[S, Any, Any]:
    """Raises ValueError where a cell is written twice, and as `Table` does."""
    lines = tuple(lines)
    rows: dict[tuple[S, Any], Row[S, Any]] = {}
    reasons: dict[tuple[S, Any], str] = {}
    for line in lines:
        for part in line.parts:
            for state in part.states:
                cell = state, line.input
                if cell in rows or cell in reasons:
                    raise ValueError(f"{line.input!r} stands twice for {state.name}")
                if isinstance(part, Ignored):
                    reasons[cell] = part.reason
                else:
                    stays = {} if part.stays is None else {state: part.stays}
                    rows[cell] = Row(part.handler, {**stays, **part.to})
    return Table(
        start=start, states=states, inputs=(line.input for line in lines), rows=rows, ignored=reasons, ends=ends
    )
