"""What was found out about this machine, each fact with its evidence, each failed probe with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contracts.messages import Capability
from contracts.requirements.versions import sort_key
from worker_agent.capabilities.options import DetectOptions


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """By which a file is known to be the one that was probed."""

    mtime_ns: int
    inode: int
    size: int

    @classmethod
    def of(cls, path: str | Path) -> Stamp | None:
        """The stamp of what `path` leads to; None when there is nothing that can be looked at."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        return cls(mtime_ns=found.st_mtime_ns, inode=found.st_ino, size=found.st_size)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why a capability is believed. `when`: seconds since the epoch."""

    capability: Capability
    #: the probe's name; "fixed" for what a person said
    probe: str
    #: for people: "command", "python module", "pkg-config", "system", "fixed"
    how: str
    when: float
    #: what was run or read; None where there is no such file
    path: str | None = None
    #: the whole command
    command: str = ""
    #: the line of output or of the file in which the version stands
    line: str = ""
    #: None: the file cannot change in a way that says anything (/proc)
    stamp: Stamp | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A probe that found its program and yet no capability, or a configuration file that cannot be used."""

    probe: str
    reason: str
    when: float
    path: str | None = None
    #: it ran out of time
    late: bool = False


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The outcome of a detection. `seconds`: how long it took."""

    evidence: tuple[Evidence, ...] = ()
    failures: tuple[Failure, ...] = ()
    #: what the latest recheck took away
    gone: tuple[Evidence, ...] = ()
    seconds: float = 0.0
    #: by which `recheck` probes again
    options: DetectOptions = field(default_factory=DetectOptions, compare=False, repr=False)

    @property
    def late(self) -> bool:
        """Whether a probe ran out of time: on a machine that was busy it is worth to detect again soon."""
        return any(failure.late for failure in self.failures)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Every capability once, sorted by name, then version."""
        return tuple(unique(item.capability for item in self.evidence))


def unique(capabilities: Iterable[Capability]) -> list[Capability]:
    """Each pair of name and version once, in order of names, then of versions."""
    found = {(capability.name, capability.version): capability for capability in capabilities}
    return [found[key] for key in sorted(found, key=lambda key: (key[0], sort_key(key[1] or ""), key[1] or ""))]


def in_order(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Sorted as a person looks for it: by name, version, path."""
    return tuple(
        sorted(
            evidence,
            key=lambda item: (item.capability.name, sort_key(item.capability.version or ""), item.path or ""),
        )
    )
