"""Facts about the machine, read from a file system of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

from contracts.messages import Capability
from contracts.requirements.sets import Requirements
from worker_agent.capabilities.machine import Root, probe_machine


def facts(folder: Path, **files: str) -> dict[str, list[str | None]]:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DASH_", "-").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    evidence, failures = probe_machine(Root(folder=folder))
    assert not failures
    found: dict[str, list[str | None]] = {}
    for item in evidence:
        found.setdefault(item.capability.name, []).append(item.capability.version)
    return found


def test_the_distribution(tmp_path: Path) -> None:
    """Its name, its version under its own name, and its code name."""
    found = facts(
        tmp_path, etc__os_DASH_release='NAME="Debian"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'
    )
    assert found["distribution"] == ["debian"]
    assert found["debian"] == ["12"]
    assert found["codename"] == ["bookworm"]


def test_a_distribution_that_says_little(tmp_path: Path) -> None:
    """Rolling releases have no version."""
    found = facts(tmp_path, usr__lib__os_DASH_release="ID=arch\n# VERSION_ID=0\n")
    assert found["distribution"] == ["arch"]
    assert found["arch"][-1] is None or None in found["arch"]


def test_limits_of_a_container(tmp_path: Path) -> None:
    """What a control group allows counts, not what the host has."""
    found = facts(
        tmp_path, sys__fs__cgroup__memory_DOT_max="536870912\n", sys__fs__cgroup__cpu_DOT_max="100000 100000\n"
    )
    assert found["mem"] == ["512MiB"]
    assert found["cpus"] == ["1"]


def test_no_limits(tmp_path: Path) -> None:
    """`max` is no number; the machine's own size counts."""
    found = facts(tmp_path, sys__fs__cgroup__memory_DOT_max="max\n", sys__fs__cgroup__cpu_DOT_max="max 100000\n")
    assert found["cpus"] == [str(len(os.sched_getaffinity(0)))]
    machine = [Capability(name="mem", version=found["mem"][0])]
    assert Requirements.of(["mem>=128MiB"]).satisfied_by(machine)
    assert not Requirements.of(["mem>=900TiB"]).satisfied_by(machine)


def test_graphics_cards(tmp_path: Path) -> None:
    """Each vendor once, the driver's version where the system tells it."""
    found = facts(
        tmp_path,
        sys__class__drm__card0__device__vendor="0x10de\n",
        sys__class__drm__card1__device__vendor="0x10de\n",
        sys__class__drm__card2__device__vendor="0x1af4\n",
        proc__driver__nvidia__version="NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.154.05  Thu Dec 28\n",
    )
    assert found["gpu"] == ["nvidia"]
    assert found["nvidia-driver"] == ["535.154.05"]


def test_an_empty_file_system_is_no_failure(tmp_path: Path) -> None:
    """What can be asked of the running system is there all the same."""
    assert {"os", "mem", "cpus"} <= facts(tmp_path).keys()
