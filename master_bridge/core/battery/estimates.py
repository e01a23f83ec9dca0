"""How long units will take, and where: what past runs say, corrected by what this run shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from master_bridge.core.battery.speeds import LEAST, Speeds


class Estimates:
    """`timings`: seconds by unit, and `speeds` by agent, of past runs. A unit that has none takes the others' mean."""

    def __init__(self, units: Iterable[str], timings: Mapping[str, float], speeds: Mapping[str, float]) -> None:
        self._weights = {unit: max(LEAST, timings[unit]) for unit in units if unit in timings}
        #: do past runs tell how units differ?
        self.timed = bool(self._weights)
        #: is anything known of how long these units take, by past runs or by this one?
        self.informed = self.timed
        self._mean = sum(self._weights.values()) / len(self._weights) if self.timed else 1.0
        self.speeds = Speeds(speeds, mean_weight=self._mean)
        self._shards, self._beside = 0, 0.0

    def weight(self, unit: str) -> float:
        """What it is expected to take, in seconds of an agent of the usual speed in past runs. It never changes."""
        return self._weights.get(unit, self._mean)

    def seconds(self, units: Iterable[str], agent: str) -> float:
        """What these are expected to take there."""
        return sum(map(self.weight, units)) / self.speeds.of(agent)

    @property
    def overhead(self) -> float:
        """Seconds that a shard takes beside its units, in this run's mean: a program's start."""
        return self._beside / self._shards if self._shards else 0.0

    def learn(self, agent: str, units: Sequence[str], seconds: float, measured: Sequence[float | None]) -> None:
        """A shard of these units has ended there after so long. `measured`: what each took; None: nobody knows."""
        known = [value for value in measured if value is not None]
        if len(known) == len(units):
            for unit, value in zip(units, known, strict=True):
                self.speeds.saw(agent, self.weight(unit), value)
            self._beside += max(0.0, seconds - sum(known))
        else:
            self.speeds.saw(agent, sum(map(self.weight, units)), seconds)
        self._shards += 1
        self.speeds.renew()
        self.informed = True
