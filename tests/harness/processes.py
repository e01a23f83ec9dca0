"""What becomes of processes, those of others too."""

from __future__ import annotations

import psutil


def alive(pid: int) -> bool:
    """One that has ended stays in the list until its parent, in the end the machine's first process, hears of it."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
