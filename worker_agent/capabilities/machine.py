"""The machine itself: system, distribution, architecture, CPUs, memory, C library, GPU. Read, not run."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker_agent.capabilities.commands import clean
from worker_agent.capabilities.inventory import Evidence, Failure
from worker_agent.capabilities.options import BadCapability, checked

#: Names of one architecture on different systems.
_ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "i386": "i686", "i586": "i686"}
_SYSTEMS = {"darwin": "macos"}
#: PCI vendors of graphics cards (linux: /sys/class/drm/card*/device/vendor).
_GPU_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
_GIB, _MIB = 1024**3, 1024**2


@dataclass(frozen=True, kw_only=True)
class MachineFact:
    """One thing found on this machine: its name, version, path, and the line that it was read from."""

    name: str
    version: str | None
    path: str | None = None
    line: str = ""


@dataclass(frozen=True, kw_only=True)
class Root:
    """The file system to read; tests give one of their own."""

    folder: Path = Path("/")

    def text(self, path: str) -> str:
        """The beginning of a file, empty when it cannot be read."""
        try:
            with self.at(path).open(encoding="utf-8", errors="replace") as file:
                return file.read(64 * 1024)
        except OSError:
            return ""

    def at(self, path: str) -> Path:
        """`path` of the machine, in this file system."""
        return self.folder / path.lstrip("/")


def probe_machine(root: Root | None = None) -> tuple[Sequence[Evidence], Sequence[Failure]]:
    """Facts about this machine, or about the file system `root` (for what is read from files)."""
    root = root or Root()
    when = time.time()
    evidence: list[Evidence] = []
    failures: list[Failure] = []
    for find in _FACTS:
        name = find.__name__.strip("_")
        try:
            for fact in find(root):
                evidence.append(
                    Evidence(
                        capability=checked(fact.name, fact.version),
                        probe=name,
                        how="system",
                        when=when,
                        path=fact.path,
                        line=clean(fact.line),
                    )
                )
        except (OSError, ValueError, BadCapability) as error:
            failures.append(Failure(probe=name, reason=f"{type(error).__name__}: {error}", when=when))
    return evidence, failures


def _system(root: Root) -> Iterator[MachineFact]:
    system = platform.system().lower() or sys.platform
    yield MachineFact(name="os", version=_SYSTEMS.get(system, system), line=platform.platform())
    if match := re.match(r"[0-9]+(\.[0-9]+)*", platform.release()):
        yield MachineFact(name="kernel", version=match[0], line=platform.release())


def _distribution(root: Root) -> Iterator[MachineFact]:
    """os-release(5). `distribution debian`, and the distribution itself with its version: `debian 12`."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = root.text(path)
        if not text:
            continue
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
        values = {key.strip(): value.strip().strip("\"'") for key, value in pairs}
        if identity := values.get("ID"):
            yield MachineFact(name="distribution", version=identity, path=path, line=f"ID={identity}")
            version = values.get("VERSION_ID")
            yield MachineFact(name=identity, version=version or None, path=path, line=f"VERSION_ID={version or ''}")
        if codename := values.get("VERSION_CODENAME"):
            yield MachineFact(name="codename", version=codename, path=path, line=f"VERSION_CODENAME={codename}")
        return
    release = platform.mac_ver()[0]
    if release:
        yield MachineFact(name="distribution", version="macos", line=f"macOS {release}")
        yield MachineFact(name="macos", version=release, line=f"macOS {release}")


def _architecture(root: Root) -> Iterator[MachineFact]:
    machine = platform.machine().lower()
    if machine:
        yield MachineFact(name="arch", version=_ARCHITECTURES.get(machine, machine), line=machine)


def _cpus(root: Root) -> Iterator[MachineFact]:
    """CPUs that this process may use: affinity and the control group's quota, whichever is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    path, line = None, f"{count} of {os.cpu_count()}"
    quota = root.text("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and int(quota[1]) > 0:
        allowed = max(1, int(quota[0]) // int(quota[1]))
        if allowed < count:
            count, path, line = allowed, "/sys/fs/cgroup/cpu.max", " ".join(quota)
    yield MachineFact(name="cpus", version=str(count), path=path, line=line)


def _memory(root: Root) -> Iterator[MachineFact]:
    """Memory that may be used: the machine's, or the control group's limit if that is less."""
    size, path = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = root.text(limit).strip()
        if text.isdigit() and 0 < int(text) < size:
            size, path = int(text), limit
    yield MachineFact(name="mem", version=_size(size), path=path, line=f"{size} bytes")


def _size(count: int) -> str:
    """Rounded to a tenth of a GiB, downwards, so that no more is announced than is there."""
    return f"{count * 10 // _GIB / 10:g}GiB" if count >= _GIB else f"{count // _MIB}MiB"


def _c_library(root: Root) -> Iterator[MachineFact]:
    name, version = platform.libc_ver()
    if name:
        yield MachineFact(name=name, version=version or None, line=f"{name} {version}")
    for path in sorted(root.at("/lib").glob("ld-musl-*.so.1")):
        yield MachineFact(name="musl", version=None, path=str(path), line=path.name)
        return


def _gpu(root: Root) -> Iterator[MachineFact]:
    """Graphics cards by vendor; drivers and toolkits (nvidia-smi, nvcc, rocm) are commands."""
    seen: set[str] = set()
    for path in sorted(root.at("/sys/class/drm").glob("card[0-9]*/device/vendor")):
        vendor = _GPU_VENDORS.get(root.text(str(path.relative_to(root.folder))).strip())
        if vendor and vendor not in seen:
            seen.add(vendor)
            yield MachineFact(name="gpu", version=vendor, path=str(path), line=f"vendor {vendor}")
    version = root.text("/proc/driver/nvidia/version")
    if match := re.search(r"Kernel Module\D*([0-9.]+)", version):
        if "nvidia" not in seen:
            yield MachineFact(name="gpu", version="nvidia", path="/proc/driver/nvidia/version", line=match[0])
        yield MachineFact(name="nvidia-driver", version=match[1], path="/proc/driver/nvidia/version", line=match[0])


_FACTS: tuple[Callable[[Root], Iterable[MachineFact]], ...] = (
    _system,
    _distribution,
    _architecture,
    _cpus,
    _memory,
    _c_library,
    _gpu,
)
