"""A histogram as plain numbers: counted without a metrics library, shown by one. Pure."""

from __future__ import annotations

from bisect import bisect_left

#: Upper bounds in seconds: claims take milliseconds, waits in a queue up to hours.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class Histogram:
    """`observe(value)`; `buckets` as Prometheus wants them: upper bound as text -> how many were at most that."""

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value, in the unit of the bounds."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._counts)

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, values up to it), as Prometheus wants them; the last is "+Inf"."""
        total = 0
        shown: list[tuple[str, float]] = []
        for bound, number in zip((*map(str, self._bounds), "+Inf"), self._counts):  # noqa: B905  # equal by __init__
            total += number
            shown.append((bound, float(total)))
        return shown
