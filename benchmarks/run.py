"""Plays cases one after the other: each that ends is on disk, one that breaks costs no other, the rest is told."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.report.results import Measured, Results, load, machine, save
from benchmarks.stand.stage import Stage

Say = Callable[[str], None]
Case = Callable[[Stage], None]


class Run:
    """Of `cases` by name, with results in the file `path`; `stage` makes a fresh one, `about` is kept with figures.

    `documented`: they go into the second set. `parts`: of these cases only a part is played, so that the older figures
    of the rest are kept. `usual`: seconds of cases that were never timed.
    """

    def __init__(
        self,
        cases: Mapping[str, Case],
        path: Path,
        stage: Callable[[Say], Stage],
        about: dict[str, Any],
        say: Say,
        *,
        documented: bool = False,
        parts: Collection[str] = (),
        usual: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._cases = cases
        self._path = path
        self._make = stage
        self._about = about
        self._say = say
        self._sets = load(path)
        self._documented = documented
        self._parts = parts
        self._usual = usual
        self._began = 0.0

    @property
    def _results(self) -> Results:
        return self._sets.documented if self._documented else self._sets.usual

    @property
    def left(self) -> list[str]:
        """What the run before this one has not played to its end: it was interrupted, or the case broke."""
        return [name for name in self._results.left if name in self._cases]

    def play(self, names: Sequence[str]) -> list[str]:
        """Names of those that broke. An interrupt goes on to the caller; `left` has what it cost then."""
        self._began = time.monotonic()
        self._results.left = list(names)
        self._results.broken = {}
        save(self._path, self._sets)
        todo = list(names)
        while todo:  # a stage on which a case broke may be broken as well: the next one gets another
            with self._make(self._told(todo)) as stage:
                while todo and self._one(stage, todo):
                    pass
        return list(self._results.broken)

    def _one(self, stage: Stage, todo: list[str]) -> bool:
        """Play the first one and take it from the list. False: it broke."""
        name, about, began, before = todo[0], machine(), time.monotonic(), len(stage.figures)
        self._told(todo)(f"-- {name}")
        try:
            self._cases[name](stage)
        except Exception as error:
            traceback.print_exc()
            self._results.broken[name] = (str(error) or repr(error)).splitlines()[0][:300]
        else:
            self._results.left.remove(name)
            measured = Measured(
                about={**about, **self._about},
                figures=tuple(stage.figures[before:]),
                seconds=round(time.monotonic() - began, 1),
            )
            if name in self._parts:
                measured = measured.with_older(self._results.cases.get(name))
            self._results.cases[name] = measured
        save(self._path, self._sets)
        del todo[0]
        return name not in self._results.broken

    def _told(self, todo: list[str]) -> Say:
        """Each line with the time since the run's begin, and about how long what is left takes (last time's times)."""
        case, since = todo[0], time.monotonic()

        def say(text: str) -> None:
            nonlocal case, since
            if todo and todo[0] != case:
                case, since = todo[0], time.monotonic()
            now = time.monotonic()
            this, others = (self._results.remaining(some, self._usual, self._parts) for some in (todo[:1], todo[1:]))
            rest = "time left unknown"
            if this is not None and others is not None:
                rest = f"about {_clock(max(0.0, this - (now - since)) + others)} left"
            self._say(f"[{_clock(now - self._began)}, {rest}] {text}")

        return say


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
