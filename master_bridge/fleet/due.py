"""Whom to look at again, and when, without a look at all others each time. Pure."""

from __future__ import annotations

import heapq
import math

from master_bridge.fleet.last_heard import Key

#: Entries beside one a key, from which on those that do not count any more are let go.
_SPARE = 1_000


class Due:
    """Times are the caller's seconds, which may jump: each key has its own, and waits for no other."""

    def __init__(self) -> None:
        self._at: dict[Key, float] = {}
        #: a heap; of each key only the entry counts that is in `_at`
        self._entries: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def by(self, key: Key, at: float) -> None:
        """It is due at `at`; or earlier, where that was said before: whoever looks then says anew when."""
        if at >= self._at.get(key, math.inf):
            return
        self._at[key] = at
        heapq.heappush(self._entries, (at, key))
        if len(self._entries) > 2 * len(self._at) + _SPARE:
            self._entries = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._entries)

    def take(self, now: float) -> list[Key]:
        """Those that are due. They are not any more, until that is said again."""
        taken: list[Key] = []
        while self._entries and self._entries[0][0] <= now:
            at, key = heapq.heappop(self._entries)
            if self._at.get(key) == at:
                del self._at[key]
                taken.append(key)
        return taken

    def drop(self, key: Key) -> None:
        """It is not kept any more."""
        self._at.pop(key, None)
