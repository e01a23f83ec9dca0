"""Builds that run on this master's workers, of whatever kind, and for how long.

Source: process/builder.py (`Builder.building`), process/build.py (`Build.workerforbuilder`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary


class RunningBuilds:
    """Looked at regularly: a build does not say when it began, so it is told since when it was seen."""

    def __init__(self) -> None:
        self._since: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

    def look(self, botmaster: Any) -> None:
        """Note those that are new."""
        now = time.monotonic()
        for builder in botmaster.builders.values():
            for build in builder.building:
                self._since.setdefault(build, now)

    def on(self, workers: Iterable[str], botmaster: Any) -> dict[str, list[tuple[str, float]]]:
        """Worker -> (builder, seconds) of what runs there; each of `workers` is there."""
        self.look(botmaster)
        now = time.monotonic()
        found: dict[str, list[tuple[str, float]]] = {name: [] for name in workers}
        for builder in botmaster.builders.values():
            for build in builder.building:
                name = build.workerforbuilder.worker.workername
                if name in found:
                    found[name].append((builder.name, now - self._since[build]))
        return found
