"""Results on disk: the newest figures of each case in one file, and a copy of it a release.

Each case has its figures and what they depend on: the machine, the versions, the rounds, the seconds that it took. A
run writes the file anew after every case, so an interrupted one loses the case that it was at, and no other. There are
two sets: agents as each case starts them, and as README starts them (`--as-documented`).
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.report.figures import Figure

NEWEST = "newest.json"
_DOCUMENTED = "as_documented"
_PACKAGES = ("buildbot", "buildbot-worker", "aio-pika", "pika", "twisted")


def machine() -> dict[str, Any]:
    """What the figures depend on. Only ratios travel from one machine to another."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return {
        "when": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "load_before": os.getloadavg()[0],
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A case that was played to its end. `about`: the machine, versions, rounds and whether the inputs were small."""

    about: dict[str, Any]
    figures: tuple[Figure, ...]
    #: how long it took; None: nobody wrote it down
    seconds: float | None = None

    def with_older(self, older: Measured | None) -> Measured:
        """Of a run that measured parts of the case: what it did not measure is what it was, and tells of when it is."""
        if older is None:
            return self
        new = {(figure.case, figure.what, figure.peer) for figure in self.figures}
        kept = tuple(
            replace(figure, when=figure.when or older.about["when"])
            for figure in older.figures
            if (figure.case, figure.what, figure.peer) not in new
        )
        return replace(self, figures=(*kept, *self.figures), seconds=older.seconds)


@dataclass(kw_only=True)
class Results:
    """What is known of all cases, by name. `left`: those of the last run that have not been played to their end."""

    cases: dict[str, Measured] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    #: why a case of the last run broke; the figures that it has are older ones
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> list[Figure]:
        return [figure for case in self.cases.values() for figure in case.figures]

    def remaining(self, cases: Sequence[str], usual: Mapping[str, float], parts: Collection[str] = ()) -> float | None:
        """Seconds that these take by their last run, or `usual` ones, as `parts` do; None: one of them is nowhere."""
        own = {name: found.seconds for name, found in self.cases.items() if found.seconds is not None}
        times = {**usual, **{name: took for name, took in own.items() if name not in parts}}
        return sum(times[name] for name in cases) if times.keys() >= set(cases) else None


@dataclass(kw_only=True)
class Sets:
    """All results. `documented`: of agents as README starts them; each set's ratios are of its own runs."""

    usual: Results = field(default_factory=Results)
    documented: Results = field(default_factory=Results)


def save(path: Path, sets: Sets) -> None:
    """Whole or not at all: an interrupt while it is written leaves the file that was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**_as_json(sets.usual), _DOCUMENTED: _as_json(sets.documented)}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    fresh.replace(path)


def _as_json(results: Results) -> dict[str, Any]:
    return {
        "left": results.left,
        "broken": results.broken,
        "cases": {
            name: {
                "about": case.about,
                "seconds": case.seconds,
                "figures": [figure.as_json() for figure in case.figures],
            }
            for name, case in results.cases.items()
        },
    }


def load(path: Path) -> Sets:
    """Empty where there is no such file: nothing was measured yet."""
    if not path.exists():
        return Sets()
    found = json.loads(path.read_text())
    documented = _from_json(found[_DOCUMENTED]) if _DOCUMENTED in found else Results()  # older files have one set
    return Sets(usual=_from_json(found), documented=documented)


def _from_json(found: dict[str, Any]) -> Results:
    cases = {
        name: Measured(
            about=case["about"],
            seconds=case["seconds"],
            figures=tuple(Figure.from_json(row) for row in case["figures"]),
        )
        for name, case in found["cases"].items()
    }
    return Results(cases=cases, left=found["left"], broken=found["broken"])
