"""Which units make the next shard: longest first, a part of what is left, smaller towards the end."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from master_bridge.core.battery.bounds import SHARD_BYTES_MAX, SHARD_UNITS_MAX, SHARD_UNITS_UNKNOWN
from master_bridge.core.battery.estimates import Estimates

#: What is left is divided into so many shards an agent. With three, one that is four times slower than the others ends
#: its share when they end what is left (8 agents of which two are slow: 4/24 of what is left, against 1/6.5).
SHARDS_AN_AGENT = 3
#: A shard's own cost is some tenths of a second for its session, and what its program takes to start. No shard is made
#: shorter than the first, or than three times the second, on purpose.
SHORTEST = 0.5
WORTH = 3.0


class Queue:
    """Units that wait to be put into shards, the longest first."""

    def __init__(self, units: Iterable[str], estimates: Estimates, *, target_seconds: float) -> None:
        self._estimates = estimates
        self._target = target_seconds
        #: sorted, the longest last; the second figure keeps units of one length in the order in which they were given
        self._waiting = sorted((estimates.weight(unit), -place, unit) for place, unit in enumerate(units))
        self._again = len(self._waiting)
        self.weight = sum(weight for weight, _, _ in self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def put_back(self, unit: str) -> None:
        """It is to run once more."""
        self._again += 1
        insort(self._waiting, (self._estimates.weight(unit), -self._again, unit))
        self.weight += self._estimates.weight(unit)

    def clear(self) -> None:
        self._waiting.clear()
        self.weight = 0.0

    def take(self, agents: int) -> tuple[str, ...]:
        """The next shard's units, at least one, for a fleet of so many agents at once."""
        size, most = self._size(agents), SHARD_UNITS_MAX if self._estimates.informed else SHARD_UNITS_UNKNOWN
        taken: list[str] = []
        weight, room = 0.0, SHARD_BYTES_MAX
        while self._waiting and len(taken) < most:
            next_weight, _, unit = self._waiting[-1]
            room -= len(unit.encode()) + 1
            if taken and (weight + next_weight > size or room < 0):
                break
            self._waiting.pop()
            taken.append(unit)
            weight += next_weight
        self.weight = max(0.0, self.weight - weight) if self._waiting else 0.0
        return tuple(taken)

    def _size(self, agents: int) -> float:
        """In the weights of `Estimates`."""
        whole = self.weight / max(1, agents)
        share = whole / SHARDS_AN_AGENT
        if not self._estimates.informed:
            return max(share, 1.0)
        scale = self._estimates.scale
        worth = max(SHORTEST, WORTH * self._estimates.overhead) / scale
        # yet nobody is idle while another one runs what could be divided
        return min(max(share, min(worth, whole)), self._target / scale)
