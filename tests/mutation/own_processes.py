"""A change of what decides which processes are ended may find all of the machine's: none but a test's own may be."""

from __future__ import annotations

import os
from collections.abc import Iterator


def end_own_processes_only() -> None:
    """From now on this process signals itself and its descendants only, as a user without rights on others would."""
    ours, kill, killpg = os.getpid(), os.kill, os.killpg

    def may(pid: int) -> None:
        if ours not in _with_parents(pid):
            raise PermissionError(f"process {pid} is none of this test's")

    def kill_own(pid: int, number: int) -> None:
        may(pid)
        kill(pid, number)

    def kill_own_group(group: int, number: int) -> None:
        may(group)
        killpg(group, number)

    os.kill, os.killpg = kill_own, kill_own_group


def _with_parents(pid: int) -> Iterator[int]:
    """From /proc itself, for tests replace what else reads it. Raises `ProcessLookupError`."""
    while pid > 0:
        yield pid
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                pid = int(file.read().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            raise ProcessLookupError(pid) from None
