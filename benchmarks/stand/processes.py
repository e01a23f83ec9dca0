"""What processes cost: memory as the kernel accounts it, CPU time, and waiting until they are quiet."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

_TICK = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        root = psutil.Process(pid)
        return [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def proportional_memory(pids: list[int]) -> float:
    """Proportional set size (PSS) in MB: shared pages are counted once, divided among those who share them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1000


def resident_memory(pids: list[int]) -> float:
    """Resident set sizes in MB, added up."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
    return total / 1000


def cpu_seconds(pids: list[int]) -> float:
    """CPU time used so far by processes and all their threads, to the nanosecond where the kernel counts so."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def cpu_of_trees(roots: Iterable[int]) -> float:
    """CPU seconds that processes and all their descendants used so far, those that have ended and been waited for, too.

    Ticks of 10 ms a process: for many short-lived processes, not for one.
    """
    total = 0
    for pid in (pid for root in roots for pid in tree(root)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / _TICK


def total_cpu_seconds(pid: int) -> float:
    """CPU time of one process including threads that have ended, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def settle(pids: list[int], quiet: float = 0.05, timeout: float = 20.0) -> None:
    """Wait until these processes use less than `quiet` of a core: what the last measurement left (Buildbot compresses
    logs after a step's end) must not be counted in the next."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        before, began = cpu_seconds(pids), time.monotonic()
        time.sleep(0.3)
        if cpu_seconds(pids) - before < quiet * (time.monotonic() - began):
            return


class Peak:
    """Highest resident memory (MB) of a process while the block runs, looked at 20 times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self.before = resident_memory([pid])
        self.highest = self.before
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.highest = max(self.highest, resident_memory([self._pid]))
