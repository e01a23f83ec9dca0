"""A change's time is what it runs or sleeps, not what it waits for a core: a busy machine times none out."""

from __future__ import annotations

import time

#: Seconds between two looks.
EVERY = 0.5
#: Seconds that each trial has beside three times what its tests take, and those that it has at most.
AT_LEAST, AT_MOST = 5.0, 20.0


def limit(seconds: float) -> float:
    """For tests that take `seconds` on code as it is."""
    return min(AT_LEAST + 3 * seconds, AT_MOST)


class Clock:
    """Of the process `pid`, from now on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began = time.monotonic() - waited(pid)

    def seconds(self) -> float:
        """For which it ran or slept."""
        return time.monotonic() - self._began - waited(self._pid)


def waited(pid: int) -> float:
    """Seconds for which a process that was not reaped was ready to run and had no core (proc(5), `schedstat`)."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[1]) / 1e9
