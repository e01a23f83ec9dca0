"""One plot of the page: a bar a peer, goals as red lines, an axis from 0 with the unit, and what is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.report.figures import Figure
from benchmarks.report.table import cell

_GOAL = "#c02020"
#: What this project is compared to, or the beginning of its name; all other bars are of this project.
_OTHERS = ("PB", "msgpack", "raw broker", "the raw broker", "fsync", "static splitting", "pytest-xdist")
#: Ours and others', by whether they are of the runs with agents as README starts them.
_COLORS = {(True, False): "#2465a8", (False, False): "#9aa3ad", (True, True): "#9cc0e6", (False, True): "#d9dde1"}
#: All px: height of a row, width of all, of the numbers at the right, of a letter.
_ROW, _TOTAL, _NUMBERS, _LETTER = 24, 900, 220, 7.8


@dataclass(frozen=True, kw_only=True)
class Group:
    """Bars of one run. `goals`: values in the figures' unit."""

    peers: Mapping[str, Figure]
    goals: Sequence[float]
    documented: bool = False

    def label(self, peer: str) -> str:
        return f"{peer}, as documented" if self.documented else peer


def better(figure: Figure) -> str:
    return "shorter is better" if figure.better == "less" else "longer is better"


def bars(groups: Sequence[Group]) -> str:
    """An SVG. All groups have the same unit; one of them has a bar at least."""
    rows = [(group, name, figure) for group in groups for name, figure in group.peers.items()]
    one = rows[0][2]
    left = round(max(130.0, 10 + _LETTER * max(len(group.label(name)) for group, name, _ in rows)))
    width = _TOTAL - left - _NUMBERS
    values = [value for group in groups for figure in group.peers.values() for value in figure.values]
    greatest, least = (pick([0.0, *values, *(goal for group in groups for goal in group.goals)]) for pick in (max, min))
    scale = width / (greatest - least) if greatest > least else 0.0
    at = lambda value: left + scale * (value - least)  # noqa: E731
    drawn = []
    for row, (group, name, figure) in enumerate(rows):
        y = row * _ROW
        drawn.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(group.label(name))}</text>')
        if figure.median is not None and figure.spread is not None:
            color = _COLORS[not name.startswith(_OTHERS), group.documented]
            begin, end = sorted((at(0.0), at(figure.median)))
            drawn.append(f'<rect x="{begin:.1f}" y="{y + 4}" width="{end - begin:.1f}" height="16" fill="{color}"/>')
            ends = [at(value) for value in figure.spread]
            drawn.append(f'<path d="M{ends[0]:.1f} {y + 12}H{ends[1]:.1f}" stroke="#222"/>')
        drawn.append(f'<text x="{left + width + 10}" y="{y + 17}">{escape(_told(figure))}</text>')
    first = 0
    for group in groups:
        last = first + len(group.peers)
        for goal in group.goals:
            line = f"M{at(goal):.1f} {first * _ROW}V{last * _ROW}"
            drawn.append(f'<path d="{line}" stroke="{_GOAL}" stroke-width="2" stroke-dasharray="5 3"/>')
        first = last
    height = first * _ROW
    drawn.append(f'<path d="M{at(0.0):.1f} 0V{height}M{left} {height}H{left + width}" stroke="#222"/>')
    for value in _ticks(least, greatest):
        drawn.append(f'<path d="M{at(value):.1f} {height}v4" stroke="#222"/>')
        drawn.append(f'<text x="{at(value):.1f}" y="{height + 17}" text-anchor="middle">{value:g}</text>')
    unit = one.unit or "number"
    axis = (
        f'<text x="{left + width / 2:.0f}" y="{height + 36}" text-anchor="middle">{escape(unit)}; {better(one)}</text>'
    )
    return f'<svg viewBox="0 0 {_TOTAL} {height + 2 * _ROW}" role="img">{"".join(drawn)}{axis}</svg>'


def _told(figure: Figure) -> str:
    return cell(figure) if figure.values else "no figure"


def _ticks(least: float, greatest: float) -> list[float]:
    """0, and two to six round numbers."""
    if greatest <= least:
        return [0.0]
    span = greatest - least
    power = 10.0 ** math.floor(math.log10(span))
    step = next(part * power for part in (0.2, 0.5, 1, 2) if span / (part * power) <= 5)
    return [tick * step for tick in range(math.ceil(least / step), math.floor(greatest / step) + 1)]
