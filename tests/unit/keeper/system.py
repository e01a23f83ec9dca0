"""A system of processes that only a test changes: numbers come again, parents go, some may not be signalled."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from worker_agent.keeper.processes import reaper
from worker_agent.keeper.processes.belonging import MARK


@dataclass(eq=False)
class Entry:
    """What there is under one number."""

    pid: int
    parent: int
    began: float
    status: str
    environment: bytes
    group: int
    #: signals that end it
    heeds: frozenset[int]
    protected: bool = False


class Process:
    """As psutil's: it stays the process that it was made for."""

    def __init__(self, system: System, pid: int) -> None:
        if pid not in system.entries:
            raise psutil.NoSuchProcess(pid)
        self._system = system
        self.pid = pid
        self.entry = system.entries[pid]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and self.entry is other.entry

    def __hash__(self) -> int:
        return id(self.entry)

    def _there(self) -> Entry:
        if self._system.entries.get(self.pid) is not self.entry:
            raise psutil.NoSuchProcess(self.pid)
        return self.entry

    def is_running(self) -> bool:
        return self._system.entries.get(self.pid) is self.entry

    def status(self) -> str:
        return self._there().status

    def create_time(self) -> float:
        return self.entry.began  # psutil remembers it

    def children(self, recursive: bool = False) -> list[Process]:
        self._there()
        own = [entry.pid for entry in self._system.entries.values() if entry.parent == self.pid]
        found = [Process(self._system, pid) for pid in own]
        return found + [below for child in found for below in child.children(True)] if recursive else found

    def send_signal(self, number: int) -> None:
        if self._there().protected:
            raise psutil.AccessDenied(self.pid)
        self._system.send(self.pid, number)


@dataclass
class System:
    """`start` and `end` change it; `signals` has what was sent, `now` the time (seconds), which pauses pass."""

    entries: dict[int, Entry] = field(default_factory=dict)
    signals: list[tuple[int, int]] = field(default_factory=list)
    #: what was sent to groups
    groups: list[tuple[int, int]] = field(default_factory=list)
    #: whose children orphans become
    adopts: int = 1
    now: float = 0.0
    _began: Iterator[int] = field(default_factory=itertools.count)

    def replace(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """The reaper, and `modules` that use it, see this system and its time."""
        monkeypatch.setattr(psutil, "Process", lambda pid=None: self.process(os.getpid() if pid is None else pid))
        monkeypatch.setattr(psutil, "pids", lambda: list(self.entries))
        monkeypatch.setattr(reaper, "_environment", self.environment)
        for module in (reaper, *modules):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def start(
        self,
        pid: int,
        *,
        parent: int = 1,
        mark: str | None = None,
        status: str = psutil.STATUS_SLEEPING,
        began: float | None = None,
        hangs: bool = False,
        group: int = 0,
        heeds: Iterable[int] = (),
    ) -> None:
        """`group`: its own, if none is given. `hangs`: no signal ends it."""
        assert pid not in self.entries
        began = float(next(self._began)) if began is None else began
        environment = b"" if mark is None else f"A=b\0{MARK}={mark}\0".encode()
        heeded = frozenset() if hangs else frozenset({signal.SIGKILL, *heeds})
        self.entries[pid] = Entry(pid, parent, began, status, environment, group or pid, heeded)

    def end(self, pid: int) -> None:
        """It is gone, and collected; its children are orphans."""
        del self.entries[pid]
        for entry in self.entries.values():
            if entry.parent == pid:
                entry.parent = self.adopts

    def protect(self, pid: int) -> None:
        """It runs as another user."""
        self.entries[pid].protected = True

    def process(self, pid: int) -> Any:
        return Process(self, pid)

    def everything(self) -> list[Any]:
        return [Process(self, pid) for pid in self.entries]

    def environment(self, pid: int) -> bytes:
        """As the reaper's: empty where it is gone."""
        return self.entries[pid].environment if pid in self.entries else b""

    def living(self) -> list[int]:
        return sorted(self.entries)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def send(self, pid: int, number: int) -> None:
        """To one process."""
        self.signals.append((pid, number))
        if number in self.entries[pid].heeds:
            self.end(pid)

    def killpg(self, group: int, number: int) -> None:
        """As os.killpg: to all of a group that may be signalled; raises as it does."""
        members = [entry for entry in self.entries.values() if entry.group == group]
        if not members:
            raise ProcessLookupError
        allowed = [entry for entry in members if not entry.protected]
        if not allowed:
            raise PermissionError
        self.groups.append((group, number))
        for entry in allowed:
            if number in entry.heeds:
                self.end(entry.pid)

    def getpgid(self, pid: int) -> int:
        """As os.getpgid."""
        if pid not in self.entries:
            raise ProcessLookupError
        return self.entries[pid].group
