"""What `soak` asks of a process that it measures, by files in the process's folder: what it holds, and to fill now what
fills once.

`held`: whoever makes it, with `{}` in it, has what the process holds in it some seconds later, and anew each `EVERY`
seconds. `fill`: the process fills, and removes the file.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: Seconds between two looks at the files; between two counts, each of which collects garbage.
LOOK, EVERY = 5.0, 30.0
#: Texts that come and go until Python's table of interned texts was made anew: more than it has room for in any of
#: our processes (they have some 20,000 texts each, which is a table of 44,000 or 87,000).
_TEXTS = 300_000
_MB = 1e6


class Holder:
    """`look` is called each `LOOK` seconds. `more`: what it holds besides; `fill`: fills what only it has."""

    def __init__(
        self, folder: Path, more: Callable[[], dict[str, float]], fill: Callable[[], None] = lambda: None
    ) -> None:
        self._held = folder / "held"
        self._fill = folder / "fill"
        self._more = more
        self._fill_more = fill
        self._counted = -math.inf

    def look(self) -> None:
        if self._fill.exists():
            fill_texts()
            fill_pools()
            self._fill_more()
            self._fill.unlink()
        if self._held.exists() and (self._is_empty() or time.monotonic() - self._counted >= EVERY - LOOK / 2):
            self._counted = time.monotonic()
            new = self._held.with_suffix(".new")
            new.write_text(json.dumps(counts() | self._more()))
            new.replace(self._held)

    def _is_empty(self) -> bool:
        return self._held.read_text() == "{}"


def counts() -> dict[str, float]:
    """What Python and the C library have in use: only what is reachable, so that garbage is collected first.

    Objects are those that the collector knows; blocks are all that Python has, also texts and numbers.
    """
    gc.collect()
    found: dict[str, float] = {
        "objects of Python": len(gc.get_objects()),
        "blocks of Python": sys.getallocatedblocks(),
    }
    with suppress(OSError, AttributeError):  # another C library, or one before glibc 2.33
        told = _told_by_glibc()
        found["memory that malloc has given out"] = (told.uordblks + told.hblkhd) / _MB
    return found


def fill_texts() -> None:
    """Python's table of interned texts, as it is after hours: with room for those that come and go (names in paths
    above all), made anew as large as it ever is beside those that stay."""
    for number in range(_TEXTS):
        sys.intern(f"text {number}")


def fill_pools() -> None:
    """All threads of all of Twisted's pools, which start one more whenever all that there are have something to do."""
    pools = sys.modules.get("twisted.python.threadpool")
    if pools is None:  # an agent, whose memory would be another one with Twisted
        return
    # by type: `isinstance` would ask objects that answer in the place of others
    for pool in [each for each in gc.get_objects() if issubclass(type(each), pools.ThreadPool)]:
        pool.adjustPoolsize(minthreads=pool.max)


class _Mallinfo2(ctypes.Structure):
    """mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def _told_by_glibc() -> _Mallinfo2:
    """Of all arenas. Raises AttributeError, OSError."""
    ask = ctypes.CDLL("libc.so.6").mallinfo2
    ask.restype = _Mallinfo2
    told: _Mallinfo2 = ask()
    return told
