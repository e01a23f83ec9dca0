"""In which order the files of tests are given to pytest's workers: what takes long first, so that all end together.

`times.txt` has the seconds of the files that take longer than one; `make test ARGS=--record-times` writes it anew. Of
those that are not in it, unit tests come last and tests with real parts, which may take long, first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

TIMES = Path(__file__).with_name("times.txt")
#: Seconds below which a file is not worth a line.
LEAST = 1.0
#: Whose files are quick, unless they were measured.
_CHEAP = "tests/unit/"


def file_of(nodeid: str) -> str:
    """`tests/unit/test_x.py::test_y[z]` → `tests/unit/test_x.py`"""
    return nodeid.partition("::")[0]


def read(text: str) -> dict[str, float]:
    """Lines `seconds file`."""
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {file: float(seconds) for seconds, file in pairs}


def write(times: dict[str, float]) -> str:
    longest_first = sorted(times.items(), key=lambda each: (-each[1], each[0]))
    return "".join(f"{seconds:.0f} {file}\n" for file, seconds in longest_first if seconds >= LEAST)


def longest_first(files: Iterable[str], times: dict[str, float]) -> list[str]:
    """`files` without repetition."""

    def seconds(file: str) -> float:
        return times.get(file, 0.0 if file.startswith(_CHEAP) else float("inf"))

    return sorted(dict.fromkeys(files), key=lambda file: -seconds(file))


def measured(known: dict[str, float], durations: Iterable[tuple[str, float]], there: Iterable[str]) -> dict[str, float]:
    """`known` with what a run took (node id, seconds), without the files that are not `there` any more."""
    taken: defaultdict[str, float] = defaultdict(float)
    for nodeid, seconds in durations:
        taken[file_of(nodeid)] += seconds
    kept = set(there)
    return {file: seconds for file, seconds in {**known, **taken}.items() if file in kept}
