"""Names that others made, as labels of metrics: in printable characters, cut, and so many. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from contracts.readable import shown

#: Characters of a foreign name in a label.
LABEL_SHOWN = 64
#: Agents, columns and people that have series of their own; other agents and people are `OTHERS` together.
AGENTS, COLUMNS, PEOPLE = 1_000, 300, 100
OTHERS = "(others)"


def label(name: str) -> str:
    """A foreign name as a label's value."""
    return shown(name, LABEL_SHOWN)


def columns(signatures: Iterable[str]) -> list[str]:
    """Those that have series of their own: the first by name."""
    return sorted(signatures)[:COLUMNS]


def note_order(ordered: Counter[tuple[str, str]], order: str, who: str) -> None:
    """Count one order by its name and by who gave it."""
    name = label(who)
    known = {person for _, person in ordered}
    ordered[order, name if name in known or len(known) < PEOPLE else OTHERS] += 1
