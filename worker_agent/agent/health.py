"""The self-check before new work: disks, temporary space and memory, with hysteresis so that it does not flutter."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from worker_agent.agent.aside import aside
from worker_agent.agent.errands import Errands, Here
from worker_agent.agent.room import Found, room

#: An agent that found too little of something wants this much more than the least before it is well again.
RECOVERY = 1.25
#: Seconds after which a disk that does not answer (a server of a network that is gone) makes the machine unfit.
PATIENCE = 10.0

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Least:
    """The least free bytes with which an agent takes new work; 0 switches a check off."""

    disk: int
    temp: int
    memory: int


class Health:
    """Says why this machine is not fit for new work.

    `basedir` holds the build directories, `state` the sessions and their journals. `measure` returns what was found by
    name; the default asks the operating system.
    """

    def __init__(
        self,
        least: Least,
        basedir: Path,
        state: Path | None = None,
        measure: Callable[[], Mapping[str, Found]] | None = None,
        errands: Errands | None = None,
    ) -> None:
        self._least: dict[str, int] = {
            "disk": least.disk, "disk of the state folder": least.disk,
            "temporary space": least.temp, "memory": least.memory,
        }  # fmt: skip
        self._basedir = basedir
        self._state = state
        self._measure = measure or self._ask_system
        #: looks where builds run
        self._errands = errands or Here()
        self._short: set[str] = set()

    def check(self) -> tuple[str, ...]:
        """Reasons against new work, for people; empty: fit. Takes well under a millisecond where disks answer."""
        reasons = []
        for what, found in self._measure().items():
            least = self._least[what]
            if isinstance(found, str):
                reasons.append(found)
                continue
            bound = least * RECOVERY if what in self._short else least
            if least and found < bound:
                self._short.add(what)
                reasons.append(
                    f"{what} low at {self._where(what)}: {found // MEBIBYTE} MiB free, "
                    f"needs {int(bound) // MEBIBYTE} MiB"
                )
            else:
                self._short.discard(what)
        return tuple(reasons)

    def _where(self, what: str) -> str:
        if what == "temporary space":
            return tempfile.gettempdir()
        return {"disk": str(self._basedir), "disk of the state folder": str(self._state)}.get(what, "this machine")

    def _ask_system(self) -> Mapping[str, Found]:
        return dict(self._findings())

    def _findings(self) -> Iterator[tuple[str, Found]]:
        base = self._found("room", "base directory", str(self._basedir))
        yield "disk", base
        if self._state is not None:
            state = room("state folder", self._state)
            if isinstance(state, str) or not _on_one_disk(self._basedir, self._state):
                yield "disk of the state folder", state
        if self._least["temporary space"]:
            yield "temporary space", self._found("temporary room")
        with contextlib.suppress(OSError, psutil.Error, ValueError):  # a sandbox without /proc
            yield "memory", psutil.virtual_memory().available

    def _found(self, job: str, *arguments: str) -> Found:
        try:
            found: object = self._errands.do(job, *arguments)
        except OSError as error:
            return f"{job} is not known: {error.strerror or error}"
        return found if isinstance(found, int) else str(found)


class PatientHealth:
    """Asks `check` in a thread of its own, since a disk may not answer."""

    def __init__(self, check: Callable[[], tuple[str, ...]], patience: float = PATIENCE) -> None:
        self._check = check
        self._patience = patience
        self._asked: asyncio.Future[tuple[str, ...]] | None = None

    async def check(self) -> tuple[str, ...]:
        """Reasons against new work; that no answer came within `patience` seconds is one."""
        if self._asked is None or self._asked.done():
            self._asked = aside(self._check)
        asked = self._asked  # whoever asks next may begin another look before we hear of this one's end
        done, _ = await asyncio.wait([asked], timeout=self._patience)
        return asked.result() if done else (f"a disk has not answered for {self._patience:g} s",)


def _on_one_disk(*folders: Path) -> bool:
    try:
        return len({_existing(folder).stat().st_dev for folder in folders}) == 1
    except OSError:
        return False


def _existing(path: Path) -> Path:
    """`path` or its nearest ancestor that exists: the base directory is made with the first build."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
