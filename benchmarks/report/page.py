"""The results as one HTML file that needs nothing else: a bar a peer, goals as lines, the unit, and what is better."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.report.figures import Figure, ratio
from benchmarks.report.goals import bound, goals_of
from benchmarks.report.results import Measured, Results
from benchmarks.report.table import RATIOS, cell, scale_table
from benchmarks.stand.peers import WIRES

_STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
h3 { margin: 1.6em 0 .2em; font-size: 1em } .note { color: #555; font-size: .87em; margin: .2em 0 }
.bad { color: #a00 } .good { color: #060 } svg, img { width: 100%; height: auto } svg text { font: 13px sans-serif }
table { border-collapse: collapse; font-size: .8em } td, th { border: 1px solid #ccc; padding: .2em .5em }
td { text-align: right } td:first-child { text-align: left }
"""
_OURS, _OTHER, _GOAL = "#2465a8", "#b5bcc4", "#c02020"
_LEFT, _WIDTH, _ROW, _TOTAL = 190, 490, 24, 900  #: of a plot: where bars begin, the longest, height of a row, all; px
_HOW = (
    "Each plot is one measured thing. A bar is the median of its rounds, the thin line on it goes from the least to "
    "the greatest; the unit and whether a longer or a shorter bar is better stand in its title, the axis begins at 0. "
    "PB is Buildbot's own protocol, PB-nodelay the same with TCP_NODELAY, msgpack Buildbot's experimental one; ours is "
    "this project over RabbitMQ, amp, zmq and ssh the same without a broker. All were measured in turns on one "
    "machine: compare bars of one plot, never figures of two machines. "
    "A red line is a goal."
)


def write_page(results: Results, folder: Path, plots: Sequence[Path]) -> Path:
    """`page.html` in `folder`, with the `plots` (PNG) inside it."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Benchmarks</title><style>{_STYLE}</style>",
        f"<h1>Benchmarks: Buildbot over RabbitMQ beside its own protocols</h1><p>{_HOW}</p>",
    ]
    parts += [
        f"<p class=bad>{escape(name)} broke in the newest run, what is shown of it is older: {escape(why)}</p>"
        for name, why in results.broken.items()
    ]
    for name, case in results.cases.items():
        parts += _case(name, case)
    for path in plots:
        image = base64.b64encode(path.read_bytes()).decode()
        parts.append(f'<h3>{escape(path.stem)}</h3><img alt="{escape(path.stem)}" src="data:image/png;base64,{image}">')
    page = folder / "page.html"
    page.write_text("\n".join(parts) + "</html>\n")
    return page


def _case(name: str, case: Measured) -> list[str]:
    about = case.about
    rounds = "small inputs" if about.get("quick") else "full inputs"
    took = "" if case.seconds is None else f", took {case.seconds:.0f} s"
    told = (
        f"{about['when']} UTC, {about['cores']} cores of {about['cpu']}, load {about['load_before']:.1f} before, "
        f"{rounds}, rounds: {about['rounds']}{took}"
    )
    parts = [f"<h2>{escape(name)}</h2><p class=note>{escape(told)}</p>"]
    raw = {figure.what: figure for figure in case.figures if figure.case == "raw broker"}
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in case.figures:
        if figure.case in ("upload", "download") and figure.what in raw:
            rows.setdefault((figure.case, figure.what), {})["raw broker"] = raw[figure.what]
        if figure.case not in ("raw broker", "scale"):
            rows.setdefault((figure.case, figure.what), {})[figure.peer] = figure
    for (kind, what), peers in rows.items():
        parts += _measured(kind, what, peers)
    if scale := scale_table(case.figures):
        parts.append(_html_table(scale))
    return parts


def _measured(case: str, what: str, peers: dict[str, Figure]) -> list[str]:
    one = next(iter(peers.values()))
    better = "shorter is better" if one.better == "less" else "longer is better"
    title = f"{case}: {what} ({one.unit}; {better})" if one.unit else f"{case}: {what} ({better})"
    notes = [f"{name}: no figure, {figure.failure}" for name, figure in peers.items() if figure.failure]
    for name, other in RATIOS:
        times = ratio(peers.get(name), peers.get(other))
        if times is not None:
            notes.append(f"{name} is {times:.2f} times {other}")
    lines = [f"<h3>{escape(title)}</h3>", _bars(case, what, peers)]
    return lines + [f"<p class=note>{escape(note)}</p>" for note in notes] + _verdicts(case, what, peers)


def _verdicts(case: str, what: str, peers: dict[str, Figure]) -> list[str]:
    lines = []
    for goal in goals_of(case, what):
        ours, limit = peers.get(goal.of), bound(goal, peers)
        if ours is None or ours.median is None or limit is None:
            continue
        reached = ours.median <= limit if ours.better == "less" else ours.median >= limit
        least = "most" if ours.better == "less" else "least"
        words = f"goal: {goal.of} at {least} {goal} — {'' if reached else 'not '}reached"
        lines.append(f"<p class='note {'good' if reached else 'bad'}'>{escape(words)}</p>")
    return lines


def _bars(case: str, what: str, peers: dict[str, Figure]) -> str:
    limits = [limit for goal in goals_of(case, what) if goal.of in peers and (limit := bound(goal, peers)) is not None]
    greatest = max([0.0, *limits, *(value for figure in peers.values() for value in figure.values)])
    scale = _WIDTH / greatest if greatest > 0 else 0.0
    height = _ROW * len(peers)
    drawn = []
    for row, (name, figure) in enumerate(peers.items()):
        y = row * _ROW
        drawn.append(f'<text x="{_LEFT - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>')
        if figure.median is not None and figure.spread is not None:
            color = _OURS if name == "ours" or name in WIRES else _OTHER
            least, most = (_LEFT + scale * value for value in figure.spread)
            bar = f'<rect x="{_LEFT}" y="{y + 4}" width="{max(0.0, scale * figure.median):.1f}" height="16"'
            drawn.append(f'{bar} fill="{color}"/>')
            drawn.append(f'<path d="M{least:.1f} {y + 12}H{most:.1f}" stroke="#222"/>')
        drawn.append(f'<text x="{_LEFT + _WIDTH + 10}" y="{y + 17}">{escape(cell(figure))}</text>')
    drawn.append(f'<path d="M{_LEFT} 0V{height}" stroke="#222"/>')
    for limit in limits:
        x = _LEFT + scale * limit
        drawn.append(f'<path d="M{x:.1f} 0V{height}" stroke="{_GOAL}" stroke-width="2" stroke-dasharray="5 3"/>')
    unit = next(iter(peers.values())).unit
    drawn += _axis(greatest, scale, height, unit)
    return f'<svg viewBox="0 0 {_TOTAL} {height + _ROW}" role="img">{"".join(drawn)}</svg>'


def _axis(greatest: float, scale: float, y: int, unit: str) -> list[str]:
    """Of a plot whose bars end at `y`: 0, and two to five round numbers."""
    if greatest <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(greatest))
    step = next(part * power for part in (0.2, 0.5, 1, 2) if greatest / (part * power) <= 5)
    drawn = [f'<path d="M{_LEFT} {y}H{_LEFT + _WIDTH}" stroke="#222"/>']
    for tick in range(math.floor(greatest / step) + 1):
        x = _LEFT + scale * tick * step
        drawn.append(f'<path d="M{x:.1f} {y}v4" stroke="#222"/>')
        drawn.append(f'<text x="{x:.1f}" y="{y + 17}" text-anchor="middle">{tick * step:g}</text>')
    drawn.append(f'<text x="{_LEFT + _WIDTH + 10}" y="{y + 17}">{escape(unit)}</text>')
    return drawn


def _html_table(markdown: str) -> str:
    head, _, *rows = [line.strip("| ").split(" | ") for line in markdown.strip().splitlines()]
    cells = ["".join(f"<th>{escape(text)}</th>" for text in head)]
    cells += ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
