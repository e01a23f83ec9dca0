"""The self-check before new work: disk, temporary space and memory, with hysteresis so that it does not flutter."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

#: An agent that found too little of something wants this much more than the least before it is well again.
RECOVERY = 1.25

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Least:
    """The least free bytes with which an agent takes new work; 0 switches a check off."""

    disk: int
    temp: int
    memory: int


class Health:
    """Says why this machine is not fit for new work.

    `measure` returns the free bytes by name; the default asks the operating system.
    """

    def __init__(self, least: Least, basedir: Path, measure: Callable[[], Mapping[str, int]] | None = None) -> None:
        self._least: dict[str, int] = {"disk": least.disk, "temporary space": least.temp, "memory": least.memory}
        self._where = {"disk": str(basedir), "temporary space": tempfile.gettempdir(), "memory": "this machine"}
        self._basedir = basedir
        self._measure = measure or self._ask_system
        self._short: set[str] = set()

    def check(self) -> tuple[str, ...]:
        """Reasons against new work, for people; empty: fit. Takes well under a millisecond."""
        free = self._measure()
        reasons = []
        for what, least in self._least.items():
            bound = least * RECOVERY if what in self._short else least
            if least and free[what] < bound:
                self._short.add(what)
                reasons.append(
                    f"{what} low at {self._where[what]}: {free[what] // MEBIBYTE} MiB free, "
                    f"needs {int(bound) // MEBIBYTE} MiB"
                )
            else:
                self._short.discard(what)
        return tuple(reasons)

    def _ask_system(self) -> Mapping[str, int]:
        return {
            "disk": shutil.disk_usage(_existing(self._basedir)).free,
            "temporary space": shutil.disk_usage(tempfile.gettempdir()).free,
            "memory": psutil.virtual_memory().available,
        }


def _existing(path: Path) -> Path:
    """`path` or its nearest ancestor that exists: the base directory is made with the first build."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
