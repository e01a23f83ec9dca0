"""Tables of text: columns as wide as they need to be, or as a terminal lets them. Pure.

Cells are `shown` already: what others wrote is no order to a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

#: Between two columns; two, so that a script can split where a cell has one.
GAP = "  "
#: In the place of an empty cell, so that each line has all columns.
EMPTY = "-"


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """`least`: characters below which it says nothing; `spare`: where there is no room, the highest one goes first, 0
    never."""

    title: str
    least: int
    spare: int = 0
    right: bool = False


def fitted(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """The width of each column; 0: it is left out. `width`: of the terminal, None: there is room for all."""
    needs = [
        max(cell_len(column.title), *(cell_len(row[number]) for row in rows)) if rows else cell_len(column.title)
        for number, column in enumerate(columns)
    ]
    if width is None:
        return needs
    least = [min(need, column.least) for need, column in zip(needs, columns, strict=True)]
    there = set(range(len(columns)))

    def room(widths: Sequence[int]) -> int:
        return width - sum(widths[each] for each in there) - len(GAP) * (len(there) - 1)

    for each in sorted(there, key=lambda number: -columns[number].spare):
        if room(least) >= 0 or not columns[each].spare:
            break
        there.discard(each)
    widths = [least[each] if each in there else 0 for each in range(len(columns))]
    left, wishes = room(widths), {each: needs[each] - widths[each] for each in there}
    for each in sorted(there, key=wishes.__getitem__):  # who wants little gets it, the rest is shared
        share = min(wishes[each], max(0, left) // (len(wishes)))
        widths[each] += share
        left -= share
        del wishes[each]
    return widths


def line(cells: Sequence[str], columns: Sequence[TableColumn], widths: Sequence[int]) -> list[str]:
    """The cells, each as wide as its column, cut with "…"; to be joined with `GAP`. The last one is not filled."""
    there = [number for number, width in enumerate(widths) if width]
    found = []
    for number in there:
        text, width = cells[number] or EMPTY, widths[number]
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1) + "…"
        fill = " " * (width - cell_len(text))
        found.append(fill + text if columns[number].right else text if number == there[-1] else text + fill)
    return found


def plain(columns: Sequence[TableColumn], rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lines: the titles in capitals, then the rows."""
    widths = fitted(columns, rows, width)
    titles = [column.title.upper() for column in columns]
    return [GAP.join(line(cells, columns, widths)) for cells in (titles, *rows)]
