"""A control group with a bound on memory or processes, cgroup v1 or v2. Needs root, Linux."""

from __future__ import annotations

import contextlib
import os
from itertools import count
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_numbers = count(1)


class ControlGroup:
    """`prefix` runs a program in it. `memory` in bytes, `processes` as a number."""

    def __init__(self, *, memory: int | None = None, processes: int | None = None) -> None:
        name = f"faults-{os.getpid()}-{next(_numbers)}"
        unified = (_ROOT / "cgroup.controllers").exists()
        self._limits: list[tuple[Path, str]] = []
        if memory is not None:
            folder = _ROOT / name if unified else _ROOT / "memory" / name
            self._limits.append((folder / ("memory.max" if unified else "memory.limit_in_bytes"), str(memory)))
        if processes is not None:
            folder = _ROOT / name if unified else _ROOT / "pids" / name
            self._limits.append((folder / "pids.max", str(processes)))
        self._folders = sorted({limit.parent for limit, _ in self._limits})
        enter = "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in self._folders)
        self.prefix = ("sh", "-c", f'{enter}; exec "$@"', "sh")

    def __enter__(self) -> ControlGroup:
        for folder in self._folders:
            folder.mkdir()
        for limit, value in self._limits:
            limit.write_text(value)
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._folders:
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (folder.parent / "cgroup.procs").write_text(pid)
            folder.rmdir()
