"""What the machine did is told from what the command did."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker_agent.keeper import health as health_module
from worker_agent.keeper.health import HealthAtStart


class Machine:
    """A file tree as Linux shows its counters."""

    def __init__(self, root: Path, groups: str) -> None:
        self.root = root
        self.write("proc/self/cgroup", groups)
        self.write("proc/vmstat", "nr_free_pages 12\noom_kill 3\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/agent\n", "sys/fs/cgroup/agent/memory.events"),
        ("0::/agent\n", "sys/fs/cgroup/memory.events"),
        ("4:memory:/x/y\n0::/\n", "sys/fs/cgroup/memory/x/y/memory.oom_control"),
    ],
    ids=["v2", "v2 in a container", "v1"],
)
def test_a_memory_kill_in_the_control_group_is_the_machines(tmp_path: Path, groups: str, file: str) -> None:
    """Whatever status the command made of it."""
    machine = Machine(tmp_path, groups)
    machine.write(file, "low 0\noom_kill 1\n")
    health = HealthAtStart([], root=tmp_path)
    assert health.verdict(2, killed=False) is None

    machine.write(file, "low 0\noom_kill 2\n")

    assert "out of memory" in (health.verdict(2, killed=False) or "")
    assert health.verdict(0, killed=False) is None, "the command succeeded all the same"
    assert health.verdict(-9, killed=True) is None, "we killed it"


def test_a_memory_kill_of_the_system_counts_only_for_what_was_killed(tmp_path: Path) -> None:
    """Its counter is of the whole machine: it says something about a command that SIGKILL ended, and no other."""
    machine = Machine(tmp_path, "0::/\n")
    health = HealthAtStart([], root=tmp_path)
    machine.write("proc/vmstat", "oom_kill 4\n")

    assert health.verdict(1, killed=False) is None
    assert "out of memory" in (health.verdict(-9, killed=False) or "")
    assert "out of memory" in (health.verdict(137, killed=False) or "")


def test_refused_processes_are_the_machines(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/agent\n")
    machine.write("sys/fs/cgroup/agent/pids.events", "max 0\n")
    health = HealthAtStart([], root=tmp_path)
    machine.write("sys/fs/cgroup/agent/pids.events", "max 7\n")

    assert "process limit" in (health.verdict(2, killed=False) or "")


def test_a_full_disk_is_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the folder's name; a folder that the command removed does not matter."""
    health = HealthAtStart([str(tmp_path / "gone"), str(tmp_path)], root=tmp_path)
    assert health.verdict(1, killed=False) is None
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((*tuple(real)[:4], 0, *tuple(real)[5:]))

    def statvfs(path: str) -> os.statvfs_result:
        if path != str(tmp_path):
            raise FileNotFoundError(path)
        return full

    monkeypatch.setattr(health_module.os, "statvfs", statvfs)  # type: ignore[attr-defined]  # replaced where it is used

    assert f"file system of {tmp_path}" in (health.verdict(1, killed=False) or "")
    assert health.verdict(0, killed=False) is None
