"""A clock that does not run, but jumps to the next deadline: hours of protocol time in milliseconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timer:
    """One call that waits for its time. `cancel` is harmless at any time."""

    __slots__ = ("_args", "_callback", "cancelled", "when")

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when = when
        self.cancelled = False
        self._callback = callback
        self._args = args

    def cancel(self) -> None:
        """It will not fire; afterwards, or twice, that changes nothing."""
        self.cancelled = True

    def fire(self) -> None:
        """Now, whenever it was due."""
        self.cancelled = True
        self._callback(*self._args)


class VirtualClock:
    """Monotonic seconds that pass only when `run_until` or `run_while` is called.

    Calls that are due at the same time are made in the order in which they were asked for.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call at `when`; a time that is past means now, after what is already due."""
        timer = Timer(max(when, self.now), callback, args)
        self._count += 1
        heapq.heappush(self._heap, (timer.when, self._count, timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """`callback` after so many seconds of this clock."""
        return self.call_at(self.now + delay, callback, *args)

    @property
    def next_deadline(self) -> float | None:
        """When the next call is due; None when nothing waits."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def run_until(self, when: float) -> None:
        """Jump from deadline to deadline up to and including `when`; leaves the clock at `when`."""
        self.run_while(lambda: True, until=when)

    def run_while(self, condition: Callable[[], bool], *, until: float) -> bool:
        """Jump on as long as `condition` holds. True: it became false; False: `until` came first.

        `condition` is looked at before each deadline, so it should be cheap.
        """
        heap = self._heap
        while condition():
            while heap and heap[0][2].cancelled:
                heapq.heappop(heap)
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return False
            when, _, timer = heapq.heappop(heap)
            self.now = when
            timer.fire()
        return True
