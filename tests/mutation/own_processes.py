"""A change of what decides which processes are ended may find all of the machine's: none but a test's own may be."""

from __future__ import annotations

import os

import psutil


def end_own_processes_only() -> None:
    """From now on this process signals itself and its descendants only, as a user without rights on others would."""
    ours, kill, killpg = os.getpid(), os.kill, os.killpg

    def may(pid: int) -> None:
        try:
            own = pid == ours or (pid > 0 and ours in (parent.pid for parent in psutil.Process(pid).parents()))
        except psutil.NoSuchProcess:
            raise ProcessLookupError(pid) from None
        if not own:
            raise PermissionError(f"process {pid} is none of this test's")

    def kill_own(pid: int, number: int) -> None:
        may(pid)
        kill(pid, number)

    def kill_own_group(group: int, number: int) -> None:
        may(group)
        killpg(group, number)

    os.kill, os.killpg = kill_own, kill_own_group
