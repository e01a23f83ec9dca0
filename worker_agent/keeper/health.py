"""Was it the machine? Compares the system's counters and disks before and after a command that failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from worker_agent.keeper.files import read_file

#: A file system with less than this free (bytes) is taken for full: what a failed write leaves is rarely exactly 0.
DISK_FULL = 1024 * 1024
_KILLED = (-9, 137)


class HealthAtStart:
    """The machine as it was when a command started.

    `disks`: folders that the command writes to. Only Linux counts memory kills and refused processes.
    """

    def __init__(self, disks: Iterable[str], *, root: str | os.PathLike[str] = "/") -> None:
        self._disks = list(disks)
        self._root = root
        self._group = _cgroup_counters(root)
        self._system = self._killed_for_memory()

    def verdict(self, rc: int, *, killed: bool) -> str | None:
        """Why a command that ended with `rc` failed through no fault of its own; None if nothing says so.

        `rc` is negative for the signal that ended it. `killed`: we did that, so a SIGKILL says nothing.
        """
        if rc == 0:
            return None
        now = _cgroup_counters(self._root)
        grown = {name for name, value in now.items() if value > self._group.get(name, value)}
        if "memory" in grown and not killed:
            return "killed by the system: out of memory (its control group's limit)"
        if not killed and rc in _KILLED and self._killed_for_memory() > self._system:
            return "killed by the system: out of memory"
        if "pids" in grown and not killed:
            return "the system refused new processes: the control group's process limit is reached"
        return full_disk(self._disks)

    def _killed_for_memory(self) -> int:
        return _counter(f"{self._root}/proc/vmstat", "oom_kill")


def full_disk(folders: Iterable[str]) -> str | None:
    """The first of `folders` on whose file system nothing can be written any more, in words."""
    for folder in folders:
        try:
            found = os.statvfs(folder)
        except OSError:
            continue  # removed by the command itself
        if found.f_blocks and found.f_bavail * found.f_frsize < DISK_FULL:
            return f"disk full: {found.f_bavail * found.f_frsize} bytes left on the file system of {folder}"
        if found.f_files and not found.f_favail:
            return f"disk full: no inodes left on the file system of {folder}"
    return None


def _cgroup_counters(root: str | os.PathLike[str]) -> dict[str, int]:
    """Memory kills and refused forks of this process's control group (v2, or v1's memory and pids controllers)."""
    if not sys.platform.startswith("linux"):
        return {}
    counters: dict[str, int] = {}
    mounted = f"{root}/sys/fs/cgroup"
    try:
        lines = os.fsdecode(read_file(f"{root}/proc/self/cgroup")).splitlines()
    except OSError:
        return {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        path = path.lstrip("/")
        if controllers == "":
            for base in (mounted, f"{mounted}/unified"):
                counters["memory"] = counters.get("memory", 0) + _either(base, path, "memory.events", "oom_kill")
                counters["pids"] = counters.get("pids", 0) + _either(base, path, "pids.events", "max")
        elif controllers == "memory":
            counters["memory"] = _either(f"{mounted}/memory", path, "memory.oom_control", "oom_kill")
        elif controllers == "pids":
            counters["pids"] = _either(f"{mounted}/pids", path, "pids.events", "max")
    return counters


def _either(base: str, path: str, file: str, name: str) -> int:
    """In a container the group's own path is usually mounted as the root."""
    below = f"{base}/{path}/{file}"
    return _counter(below if os.path.exists(below) else f"{base}/{file}", name)


def _counter(file: str, name: str) -> int:
    try:
        for line in read_file(file).splitlines():
            key, _, value = line.partition(b" ")
            if key == name.encode():
                return int(value)
    except (OSError, ValueError):
        return 0
    return 0
