"""Plots of the figures (PNG): every ratio to PB, and what a claim costs as the fleet grows. Needs matplotlib."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.battery import plot_battery
from benchmarks.report.figures import Figure, ratio

_FLEET = re.compile(r"(\d+) agents, (\d+) signatures, (\d+ offers|one offer at a time(?:, not shared)?)")
_AXES = ("agents", "signatures", "offers")
#: The fleet from which each row of `claims.SCALE` differs in one number.
_BASE = {"agents": "100", "signatures": "10", "offers": "1000 offers"}
#: What is said of the offers in the rows of `claims.IDLE`, which differ in their agents.
_IDLE = {**_BASE, "offers": "one offer at a time"}
_NOT_SHARED = {**_BASE, "offers": "one offer at a time, not shared"}


def plot(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write the plots that these figures allow; returns their files."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    made = [_ratios(figures, folder / "ratios.png")]
    made += [_scale(figures, axis, folder / f"scale-{axis}.png") for axis in _AXES]
    made.append(plot_battery(figures, folder / "battery-makespan.png"))
    return [path for path in made if path is not None]


def _ratios(figures: Sequence[Figure], path: Path) -> Path | None:
    """How many times better than PB each peer is: above 1 is better, whatever the unit."""
    from matplotlib import pyplot

    known: dict[tuple[str, str], dict[str, Figure]] = {}
    for each in figures:
        known.setdefault((each.case, each.what), {})[each.peer] = each
    rows = [row for row, peers in known.items() if ratio(peers.get("ours"), peers.get("PB"))]
    if not rows:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.45 * len(rows)))
    for index, peer in enumerate(("ours", "amp", "msgpack", "PB-nodelay")):
        places, values = [], []
        for place, row in enumerate(rows):
            found = ratio(known[row].get(peer), known[row].get("PB"))
            if found:
                places.append(place + 0.2 * (index - 1.5))
                values.append(found if known[row]["PB"].better == "more" else 1 / found)
        axes.barh(places, values, height=0.19, label=peer)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [f"{case}: {what}" for case, what in rows])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("times as good as PB in the same run (log scale)\nright of the line: better than PB")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _scale(figures: Sequence[Figure], axis: str, path: Path) -> Path | None:
    """Curves along one axis; the other two numbers are the base's, or those of the idle fleets."""
    from matplotlib import pyplot

    curves: dict[str, dict[str, list[tuple[int, float, float, float]]]] = {}
    for found in figures:
        what, _, fleet = found.what.partition(": ")
        match = _FLEET.fullmatch(fleet)
        if found.case != "scale" or match is None or found.median is None or found.spread is None:
            continue
        row = dict(zip(_AXES, match.groups(), strict=True))
        for base in (_BASE, _IDLE, _NOT_SHARED) if axis == "agents" else (_BASE,):
            if row[axis][0].isdigit() and all(row[other] == base[other] for other in _AXES if other != axis):
                title = f"{what} ({found.unit}; {found.better} is better)"
                curve = curves.setdefault(title, {}).setdefault(base["offers"], [])
                curve.append((int(row[axis].split()[0]), found.median, *found.spread))
    if not curves or max(len(points) for lines in curves.values() for points in lines.values()) < 2:
        return None
    figure, panels = pyplot.subplots(2, (len(curves) + 1) // 2, figsize=(13, 6), squeeze=False)
    for panel, (what, lines) in zip(panels.flat, curves.items(), strict=False):
        for label, points in lines.items():
            places, medians, least, greatest = zip(*sorted(points), strict=True)
            (line,) = panel.plot(places, medians, marker="o", label=label)
            panel.vlines(places, least, greatest, color=line.get_color())
        panel.set_title(what, fontsize=9)
        panel.set_xscale("log")
        panel.set_ylim(bottom=0)
        panel.set_xlabel(axis)
    for panel in panels.flat[len(curves) :]:
        panel.axis("off")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
