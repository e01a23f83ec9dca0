"""The results as one HTML file that needs nothing else: what each case is, a plot a measured thing, goals, ratios."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.report import words
from benchmarks.report.bars import Group, bars, better
from benchmarks.report.figures import Figure, ratio
from benchmarks.report.goals import bound, flat, goals_of
from benchmarks.report.results import Measured, Sets
from benchmarks.report.table import RATIOS, documented_table, scale_table

_STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
h2 { margin-top: 2.2em; border-top: 1px solid #ccc; padding-top: .6em }
h3 { margin: 1.6em 0 .2em; font-size: 1em } .note { color: #555; font-size: .87em; margin: .2em 0 }
.bad { color: #a00 } .good { color: #060 } svg, img { width: 100%; height: auto } svg text { font: 13px sans-serif }
table { border-collapse: collapse; font-size: .8em } td, th { border: 1px solid #ccc; padding: .2em .5em }
td { text-align: right } td:first-child, td:nth-child(2) { text-align: left }
"""
_RATE = re.compile(r"(.+): (\d+ builds/s), (\d+ agents)")
#: By measured thing: its figures of both sets, by peer.
Rows = dict[tuple[str, str], dict[str, Figure]]


def write_page(results: Sets, folder: Path, plots: Sequence[Path]) -> Path:
    """`page.html` in `folder`, with the `plots` (PNG) inside it."""
    both = (results.usual, results.documented)
    known = {name for found in both for name in found.cases}
    names = [name for name in words.CASES if name in known] + sorted(known - words.CASES.keys())
    how = [words.PEERS, words.HOW, *([words.DOCUMENTED] if results.documented.cases else []), words.GOALS]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Benchmarks</title><style>{_STYLE}</style>",
        "<h1>Benchmarks: Buildbot over RabbitMQ beside its own protocols</h1>",
        *(f"<p>{escape(text)}</p>" for text in how),
        "<p>" + " · ".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in names) + "</p>",
    ]
    for found, way in zip(both, ("", ", as documented"), strict=True):
        parts += [
            f"<p class=bad>{escape(name + way)} broke in the newest run, what is shown of it is older: "
            f"{escape(why)}</p>"
            for name, why in found.broken.items()
        ]
    pictures = {path.stem: path for path in plots}
    if "ratios" in pictures:
        parts += _picture(pictures.pop("ratios"))
    if documented := documented_table(results.usual.figures, results.documented.figures):
        parts += ["<h2>Agents as README starts them, beside the others</h2>", _html_table(documented)]
    for name in names:
        parts += _case(name, *(found.cases.get(name) for found in both))
    for path in pictures.values():
        parts += _picture(path)
    page = folder / "page.html"
    page.write_text("\n".join(parts) + "</html>\n")
    return page


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def _picture(path: Path) -> list[str]:
    image = base64.b64encode(path.read_bytes()).decode()
    title = escape(words.PICTURES.get(path.stem, path.stem))
    return [f'<h3>{title}</h3><img alt="{title}" src="data:image/png;base64,{image}">']


def _case(name: str, usual: Measured | None, documented: Measured | None) -> list[str]:
    parts = [f'<h2 id="{_anchor(name)}">{escape(name)}</h2>']
    if name in words.CASES:
        parts.append(f"<p>{escape(words.CASES[name])}</p>")
    for case, way in ((usual, ""), (documented, "As documented: ")):
        if case is not None:
            parts.append(f"<p class=note>{escape(way + _told(case))}</p>")
    rows, others = (_rows(case) for case in (usual, documented))
    for key in (*rows, *(key for key in others if key not in rows)):
        parts += _measured(*key, rows.get(key, {}), others.get(key, {}))
    for case in (usual, documented):
        if case is not None and (scale := scale_table(case.figures)):
            parts.append(_html_table(scale))
    return parts


def _told(case: Measured) -> str:
    about = case.about
    inputs = "small inputs" if about.get("quick") else "full inputs"
    database = ", databases of PostgreSQL" if about.get("postgres") else ""
    took = "" if case.seconds is None else f", took {case.seconds:.0f} s"
    return (
        f"{about['when']} UTC, {about['cores']} cores of {about['cpu']}, load {about['load_before']:.1f} before, "
        f"{inputs}{database}, rounds: {about['rounds']}{took}"
    )


def _rows(case: Measured | None) -> Rows:
    rows: Rows = {}
    figures = () if case is None else case.figures
    raw = {figure.what: figure for figure in figures if figure.case == "raw broker"}
    for figure in figures:
        if figure.case in ("upload", "download") and figure.what in raw:
            rows.setdefault((figure.case, figure.what), {})["raw broker"] = raw[figure.what]
        if figure.case not in ("raw broker", "scale"):
            what, peer = figure.what, figure.peer
            if rate := _RATE.fullmatch(what):  # one plot of all rates, not one for each
                what, peer = f"{rate[1]}, {rate[3]}", f"{peer}, {rate[2]}"
            rows.setdefault((figure.case, what), {})[peer] = figure
    return rows


def _measured(case: str, what: str, usual: dict[str, Figure], documented: dict[str, Figure]) -> list[str]:
    groups = [
        Group(peers=peers, goals=_limits(case, what, peers), documented=peers is documented)
        for peers in (usual, documented)
        if peers
    ]
    one = next(iter(groups[0].peers.values()))
    unit = f"{one.unit}; " if one.unit else ""
    lines = [f"<h3>{escape(f'{case}: {what} ({unit}{better(one)})')}</h3>"]
    if any(figure.values for group in groups for figure in group.peers.values()):
        lines.append(bars(groups))
    for group in groups:
        for name, figure in group.peers.items():
            if figure.failure:
                lines.append(_note(f"{group.label(name)}: no figure, {figure.failure}"))
            if figure.when:
                lines.append(_note(f"{group.label(name)}: of an earlier run, {figure.when} UTC"))
        found = [(name, other, ratio(group.peers.get(name), group.peers.get(other))) for name, other in RATIOS]
        told = [f"{group.label(name)}: {times:.2f} times {other}" for name, other, times in found if times is not None]
        if told:
            lines.append(_note(" · ".join(told)))
        lines += _verdicts(case, what, group)
    return lines


def _note(text: str, kind: str = "") -> str:
    return f"<p class='note {kind}'>{escape(text)}</p>" if kind else f"<p class=note>{escape(text)}</p>"


def _limits(case: str, what: str, peers: dict[str, Figure]) -> list[float]:
    return [limit for goal in goals_of(case, what) if goal.of in peers and (limit := bound(goal, peers)) is not None]


def _verdicts(case: str, what: str, group: Group) -> list[str]:
    lines = []
    for goal in goals_of(case, what):
        ours, limit = group.peers.get(goal.of), bound(goal, group.peers)
        if ours is None or ours.median is None or limit is None:
            continue
        reached = ours.median <= limit if ours.better == "less" else ours.median >= limit
        least = "most" if ours.better == "less" else "least"
        text = f"goal: {group.label(goal.of)} at {least} {goal} — {'' if reached else 'not '}reached"
        lines.append(_note(text, "good" if reached else "bad"))
    for name, figure in group.peers.items():
        still = flat(figure)
        if still is not None:
            interval = "zero is in the interval, or above it"
            text = f"goal: {group.label(name)} does not grow ({interval}) — {'' if still else 'not '}reached"
            lines.append(_note(text, "good" if still else "bad"))
    return lines


def _html_table(markdown: str) -> str:
    head, _, *rows = [
        [text.strip() for text in line.strip()[1:-1].split(" | ")] for line in markdown.strip().splitlines()
    ]
    cells = ["".join(f"<th>{escape(text)}</th>" for text in head)]
    cells += ["".join(f"<td>{escape(text)}</td>" for text in row) for row in rows]
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
