"""The battery's figures: tables for docs/benchmarks.md, and how many times the least possible each way takes (PNG)."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report.figures import Figure
from benchmarks.report.table import cell

TIMES, SECONDS, LOSSES = "time : least possible", "seconds for all tests", "losses"
_COMPUTED = re.compile(re.escape(TIMES) + r", computed: (\d+) tests, spread ([\d.]+)")
#: peer -> in words; those of the computed table are a part of them
_REAL = {
    "static": "static splitting, equal numbers",
    "static, timed": "static splitting, equal times",
    "battery, first run": "a battery that nobody ran before",
    "battery, learned": "the same again, which has learnt",
    "xdist": "pytest-xdist, `--dist load`, one machine",
    "xdist, worksteal": "pytest-xdist, `--dist worksteal`, one machine",
}
_WAYS = ("static", "static, timed", "battery, first run", "battery, learned")
#: What is asked of a battery: once it has learnt, and in a first run.
_BOUNDS = {"battery, learned": 1.15, "battery, first run": 1.5}


def battery_tables(figures: Sequence[Figure]) -> str:
    """What was measured, and what was computed: a mean, and the worst in brackets. Empty: there are no such figures."""
    real, computed = _real(figures), _computed(figures)
    if not real or not computed:
        return ""
    lines = ["| how | seconds | times the least possible |", "|---|---:|---:|"]
    for peer, words in _REAL.items():
        if peer in real:
            seconds, times = real[peer]
            lines.append(f"| {words} | {cell(seconds)} | {cell(times)} |")
    lines += ["", f"| tests | spread | {' | '.join(_REAL[way] for way in _WAYS)} |", "|---:|---:|" + "---:|" * 4]
    for (count, spread), ways in computed.items():
        lines.append(f"| {count} | {spread} | {' | '.join(_mean_and_worst(ways.get(way)) for way in _WAYS)} |")
    lines += ["", "| losses | mean | worst |", "|---|---:|---:|"]
    for figure in figures:
        if figure.case == "battery" and figure.what.startswith(f"{LOSSES}, ") and figure.values:
            mean, worst = statistics.mean(figure.values), max(figure.values)
            what = figure.what.removeprefix(f"{LOSSES}, ").replace("1 agents", "1 agent")
            lines.append(f"| {what} | {mean:.3g} | {worst:.3g} |")
    return "\n".join(lines) + "\n"


def plot_battery(figures: Sequence[Figure], path: Path) -> Path | None:
    """A group of bars for each battery, logarithmic; lines from the best to the worst."""
    from matplotlib import pyplot

    real = _real(figures)
    groups: dict[str, Mapping[str, Figure]] = {}
    if real:
        groups["measured: 480 tests that sleep"] = {way: real[way][1] for way in _WAYS if way in real}
    for (count, spread), computed in _computed(figures).items():
        groups[f"computed: {count} tests, spread {spread}"] = computed
    if not groups:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.62 * len(groups)))
    for index, way in enumerate(_WAYS):
        for place, ways in enumerate(groups.values()):
            if way in ways and ways[way].values:
                values, at, colour = ways[way].values, place + 0.2 * (index - 1.5), f"C{index}"
                axes.barh(at, statistics.mean(values), height=0.19, color=colour, label=None if place else way)
                axes.hlines(at, min(values), max(values), color="black", linewidth=1)
    for way, bound in _BOUNDS.items():
        axes.axvline(bound, color=f"C{_WAYS.index(way)}", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(left=0.95)
    axes.set_xticks([1, 1.15, 1.5, 2, 3, 4], ["1", "1.15", "1.5", "2", "3", "4"], minor=False)
    axes.minorticks_off()
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.set_xlabel("time : least possible; 8 agents of which two are 4 times slower; dashed: what is asked for")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(_WAYS))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _real(figures: Sequence[Figure]) -> dict[str, tuple[Figure | None, Figure]]:
    """Seconds and times the least, by way."""
    found = {(figure.what, figure.peer): figure for figure in figures if figure.case == "battery"}
    return {peer: (found.get((SECONDS, peer)), figure) for (what, peer), figure in found.items() if what == TIMES}


def _computed(figures: Sequence[Figure]) -> dict[tuple[str, str], dict[str, Figure]]:
    """Times the least by number and spread of tests, and by way."""
    rows: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in figures:
        match = _COMPUTED.fullmatch(figure.what) if figure.case == "battery" else None
        if match is not None:
            rows.setdefault((match[1], match[2]), {})[figure.peer] = figure
    return rows


def _mean_and_worst(figure: Figure | None) -> str:
    if figure is None or not figure.values:
        return ""
    return f"{statistics.mean(figure.values):.2f} ({max(figure.values):.2f})"
