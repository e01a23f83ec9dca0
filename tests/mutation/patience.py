"""A change's time is what it runs or sleeps, not what it waits for a core: a busy machine times none out."""

from __future__ import annotations

import os
import signal
import threading
import time

from tests.mutation.nearest import ALL_SECONDS

#: Seconds between two looks.
EVERY = 0.5
#: Seconds for the tests of any change: mutmut counts all that reach it, of which nearest.py leaves some out.
LONGEST = 4 * ALL_SECONDS

_watched: dict[int, tuple[float, float]] = {}
_lock = threading.Lock()


def end_after(pid: int, seconds: float) -> None:
    """SIGXCPU for the process `pid` when it has run or slept for `seconds`; in place of mutmut's `register_timeout`."""
    with _lock:
        first = not _watched
        _watched[pid] = (time.monotonic(), min(seconds, LONGEST))
        if first:
            threading.Thread(target=_watch, daemon=True).start()


def waited(pid: int) -> float | None:
    """Seconds for which the process was ready to run and had no core (proc(5), `schedstat`); None: it is gone."""
    try:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return None


def _watch() -> None:
    """Until nothing is left to watch."""
    while True:
        time.sleep(EVERY)
        with _lock:
            for pid, (began, seconds) in list(_watched.items()):
                without_core = waited(pid)
                if without_core is not None and time.monotonic() - began - without_core > seconds:
                    os.kill(pid, signal.SIGXCPU)
                    without_core = None
                if without_core is None:
                    del _watched[pid]
            if not _watched:
                return
