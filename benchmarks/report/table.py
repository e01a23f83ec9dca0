"""Figures as a Markdown table: one row a measured thing, one column a peer, and the ratios of ours."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.figures import Figure, ratio
from benchmarks.stand.peers import NAMES

#: One peer to another, a column each.
RATIOS = (("ours", "PB"), ("ours", "PB-nodelay"), ("amp", "PB"), ("amp", "ours"))
#: Those that are told of runs with agents as README starts them, too.
DOCUMENTED_RATIOS = (("ours", "PB"), ("ours", "PB-nodelay"), ("amp", "PB"))
_WAY = ", as documented"
HEAD = ("case", "what", *NAMES, *(f"{one} : {other}" for one, other in RATIOS))


def table(figures: Sequence[Figure]) -> str:
    """Median and, in brackets, the least and the greatest of the rounds. What has no figure says why below."""
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in figures:
        rows.setdefault((figure.case, figure.what), {})[figure.peer] = figure
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|" + "---:|" * (len(HEAD) - 2)]
    notes = []
    for (case, what), peers in rows.items():
        if case in ("scale", "raw broker", "battery"):
            continue
        unit = next(iter(peers.values())).unit
        cells = [cell(peers.get(name)) for name in NAMES]
        failed = [(name, peers[name].failure) for name in NAMES if name in peers and peers[name].failure]
        notes += [f"- {case}, {what}, {name}: {failure}" for name, failure in failed]
        notes += [f"- {case}, {what}, {name}: {cell(peers[name])} {unit}" for name in peers if name not in NAMES]
        ratios = [_ratio(ratio(peers.get(one), peers.get(other))) for one, other in RATIOS]
        lines.append("| " + " | ".join((case, f"{what}, {unit}", *cells, *ratios)) + " |")
    raw = [figure for figure in figures if figure.case == "raw broker"]
    for figure in raw:
        cells = [
            _ratio(ratio(rows.get((direction, figure.what), {}).get("ours"), figure))
            for direction in ("upload", "download")
        ]
        notes.append(
            f"- raw broker, {figure.what}: {cell(figure)} MB/s; our upload reaches {cells[0]} of it, "
            f"our download {cells[1]}"
        )
    return "\n".join([*lines, "", *notes]) + "\n"


def documented_table(usual: Sequence[Figure], documented: Sequence[Figure]) -> str:
    """Ratios of ours beside those of the runs with agents as README starts them; "" where there is no such run.

    Each ratio is of one run. What each set has of its own (medians, with their spread) is in the columns before.
    """
    known = {(figure.case, figure.what, figure.peer): figure for figure in usual}
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in documented:
        rows.setdefault((figure.case, figure.what), {})[figure.peer] = figure
    lines = []
    for (case, what), peers in rows.items():
        if case == "raw broker" or not peers.keys() & {"ours", "amp"}:
            continue
        before = {peer: known[case, what, peer] for peer in NAMES if (case, what, peer) in known}
        one = next(iter(peers.values()))
        cells = [cell(found.get("ours")) for found in (before, peers)]
        for name, other in DOCUMENTED_RATIOS:
            cells += [_ratio(ratio(found.get(name), found.get(other))) for found in (before, peers)]
        lines.append("| " + " | ".join((case, f"{what}, {one.unit}" if one.unit else what, one.better, *cells)) + " |")
    if not lines:
        return ""
    heads = [f"ours{way}" for way in ("", _WAY)]
    heads += [f"{name} : {other}{way}" for name, other in DOCUMENTED_RATIOS for way in ("", _WAY)]
    return "\n".join(
        ["| case | what | better | " + " | ".join(heads) + " |", "|---|---|---|" + "---:|" * len(heads), *lines, ""]
    )


def scale_table(figures: Sequence[Figure]) -> str:
    """One row a fleet, one column a cost."""
    rows: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        if figure.case == "scale":
            what, _, fleet = figure.what.partition(": ")
            rows.setdefault(fleet, {})[what] = figure
    if not rows:
        return ""
    columns = list(next(iter(rows.values())))
    units = [next(iter(rows.values()))[column].unit for column in columns]
    heads = [column if unit in column else f"{column}, {unit}" for column, unit in zip(columns, units, strict=True)]
    lines = ["| fleet | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(columns)]
    for fleet, found in rows.items():
        cells = [cell(found.get(column)) for column in columns]
        lines.append(f"| {fleet} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(figure: Figure | None, *, spread: bool = True) -> str:
    """The median, with its spread in brackets unless there was one round only."""
    if figure is None:
        return ""
    if figure.median is None or figure.spread is None:
        return "wrong" if figure.failure else ""
    if len(figure.values) == 1 or not spread:
        return _number(figure.median)
    return f"{_number(figure.median)} ({_number(figure.spread[0])} … {_number(figure.spread[1])})"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
