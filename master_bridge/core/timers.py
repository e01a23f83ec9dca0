"""Named alarms of a machine that is told the time: set, moved and dropped in O(log n), for 10,000 requests and more."""

from __future__ import annotations

import heapq

#: what is due, and for whom (a session, a request, or "" for the bridge)
Key = tuple[str, str]
#: Entries of the heap that may be stale beside as many as alarms are set.
_STALE = 64


class Timers:
    """Alarms by key, in monotonic seconds. Moved and dropped ones leave a stale entry in the heap, which is skipped.

    Where these are more than the others the heap is made anew: most alarms of a request are far away, and dropped long
    before they are due.
    """

    def __init__(self) -> None:
        self._when: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []

    def set(self, purpose: str, of: str, when: float | None) -> None:
        """Ring at `when`, and at no other time that was set before; None: not at all."""
        key = (purpose, of)
        if when is None:
            self._when.pop(key, None)
            self._forget_stale()
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))
            self._forget_stale()

    def _forget_stale(self) -> None:
        if len(self._heap) > 2 * len(self._when) + _STALE:
            self._heap = [(when, key) for key, when in self._when.items()]
            heapq.heapify(self._heap)

    def when(self, purpose: str, of: str) -> float | None:
        """When this alarm rings; None: it is not set."""
        return self._when.get((purpose, of))

    def is_set(self, purpose: str, of: str) -> bool:
        return (purpose, of) in self._when

    def clear(self) -> None:
        self._when.clear()
        self._heap.clear()

    @property
    def next(self) -> float | None:
        """When the next alarm is due; None for never."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> Key | None:
        """The next alarm that is due at `now`; it is not set any more afterwards."""
        when = self.next
        if when is None or when > now:
            return None
        _, key = heapq.heappop(self._heap)
        del self._when[key]
        return key
