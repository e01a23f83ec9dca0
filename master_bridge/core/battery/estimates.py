"""How long units will take: what past runs say, corrected by what this run shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Estimates:
    """`timings`: seconds by unit, of past runs. A unit that is not in it takes the mean of those that are."""

    def __init__(self, units: Iterable[str], timings: Mapping[str, float]) -> None:
        known = {unit: timings[unit] for unit in units if unit in timings}
        self._known = known
        #: is anything known of these units, by past runs or by this one?
        self.informed = bool(known)
        self._mean = sum(known.values()) / len(known) if known else 1.0
        self._expected = self._taken = 0.0
        self._shards, self._beside = 0, 0.0

    def weight(self, unit: str) -> float:
        """What it is expected to take, in seconds that are as long as `scale` says. It never changes."""
        return self._known.get(unit, self._mean)

    @property
    def scale(self) -> float:
        """Seconds that pass while a weight of one is run, in this run's mean: timings may be another machine's."""
        return self._taken / self._expected if self._expected > 0 and self._taken > 0 else 1.0

    @property
    def overhead(self) -> float:
        """Seconds that a shard takes beside its units, in this run's mean: a program's start."""
        return self._beside / self._shards if self._shards else 0.0

    def learn(self, units: Iterable[str], seconds: float, measured: float | None) -> None:
        """A shard of these units has ended after so long. `measured`: what its units took; None: nobody knows."""
        self._expected += sum(self.weight(unit) for unit in units)
        self._taken += seconds if measured is None else measured
        self._shards += 1
        self._beside += max(0.0, seconds - measured) if measured is not None else 0.0
        self.informed = True
