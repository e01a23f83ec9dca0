"""Results on disk: one JSON file a run, with the machine and the versions that it was measured on."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.report.figures import Figure

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


def save(path: Path, about: dict[str, Any], figures: Sequence[Figure]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [figure.as_json() for figure in figures]
    path.write_text(json.dumps({"machine": about, "figures": rows}, indent=1, ensure_ascii=False) + "\n")


def load(path: Path) -> tuple[dict[str, Any], list[Figure]]:
    found = json.loads(path.read_text())
    return found["machine"], [Figure.from_json(row) for row in found["figures"]]


def latest(folder: Path) -> list[Figure]:
    """The newest figures of every case, of all runs in `folder`: a case that was run again replaces itself."""
    newest: dict[str, list[Figure]] = {}
    for path in sorted(folder.glob("*.json")):
        cases: dict[str, list[Figure]] = {}
        for figure in load(path)[1]:
            cases.setdefault(figure.case, []).append(figure)
        newest.update(cases)
    return [figure for figures in newest.values() for figure in figures]
