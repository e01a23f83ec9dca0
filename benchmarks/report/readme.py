"""README's table: what people ask first. And how tables get into pages: between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.figures import Figure, ratio
from benchmarks.report.table import cell

_PEERS = ("PB", "PB-nodelay", "ours", "amp")
#: (case, what) -> in README's words
_ROWS = {
    ("steps", "a `true` step"): "a step that runs `true`",
    ("log", "one build"): "log of one build",
    ("log", "8 builds at once"): "logs of 8 builds at once",
    ("log", "first line visible after"): "first line of a log visible after",
    ("upload", "256 KiB blocks"): "upload, 256 KiB blocks",
    ("download", "256 KiB blocks"): "download, 256 KiB blocks",
    ("dispatch", "request to first command"): "build request to first command",
    ("many", "steps of 8 workers"): "24 builds of 10 steps on 8 workers",
    ("fanout", "8 workers"): "builds of one `true` step on 8 workers",
    ("fanout", "CPU of a worker, 8 workers"): "CPU of a worker for such a build",
    ("fanout", "CPU of the master, 8 workers"): "CPU of the master for such a build",
    ("failover", "worker killed"): "worker killed, build runs elsewhere",
    ("failover", "worker's main process killed"): "worker's main process killed, build runs elsewhere",
    ("failover", "master killed, started again"): "master killed, build goes on",
    ("footprint", "proportional memory (PSS)"): "idle worker",
    ("footprint", "start until it takes work"): "worker's start until it takes work",
}


def headline(figures: Sequence[Figure], documented: Sequence[Figure] = ()) -> str:
    """Medians of ours and of Perspective Broker with and without Nagle's algorithm, and the ratio to the first.

    `documented`: of runs with agents as README starts them. Where there are any, their ratio stands beside the other.
    """
    found, others = (
        {(figure.case, figure.what, figure.peer): figure for figure in some} for some in (figures, documented)
    )
    ratios = ["ours : PB", *(["ours : PB, agents as below"] if others else [])]
    lines = [f"| | {' | '.join([*_PEERS, *ratios])} |", "|---|" + "---:|" * (len(_PEERS) + len(ratios))]
    for row, words in _ROWS.items():
        ours, theirs = found.get((*row, "ours")), found.get((*row, "PB"))
        if ours is None or ours.median is None:
            continue
        parts = [
            ratio(ours, theirs),
            *([ratio(others.get((*row, "ours")), others.get((*row, "PB")))] if others else []),
        ]
        cells = [cell(found.get((*row, peer)), spread=False) for peer in _PEERS]
        cells += ["" if part is None else f"{part:.2f}" for part in parts]
        lines.append(f"| {words}, {ours.unit} | {' | '.join(cells)} |")
    below = ["", "The last column: agents run as [below](#use-it), with default settings."] if others else []
    return "\n".join([*lines, *below]) + "\n"


def put_into(path: Path, text: str, name: str = "benchmarks") -> None:
    """Replace what is between the markers of that name in `path`. Raises ValueError where they are missing."""
    marks = f"<!-- {name}: written by `make bench` -->", f"<!-- {name}: end -->"
    before, begin, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end):
        raise ValueError(f"{path}: no markers {marks[0]} and {marks[1]}")
    path.write_text(f"{before}{begin}\n{text}{end}{after}")
