"""How fast agents are, beside one another: what past runs say, corrected by what this run shows.

A speed is weight (the seconds that a unit is expected to take, `Estimates.weight`) a second. Speeds are compared as
logarithms: a unit that takes ten times as long as expected says as much as one that takes a tenth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

#: No unit counts as shorter, seconds: reports have three decimals.
LEAST = 0.001
#: What past runs say of an agent counts as much as so many units of mean length.
PRIOR_UNITS = 1.0


@dataclass
class _Seen:
    """Of an agent in this run."""

    #: sums, over its units, of weight x log(weight / seconds); of weight; of seconds
    logs: float = 0.0
    weight: float = 0.0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        return self.logs / self.weight


class Speeds:
    """`known`: by agent, of past runs; only their ratios mean something. `mean_weight`: of this battery's units."""

    def __init__(self, known: Mapping[str, float], *, mean_weight: float) -> None:
        self._known = {agent: log(speed) for agent, speed in known.items() if speed > 0}
        self._prior = PRIOR_UNITS * mean_weight
        self._seen: dict[str, _Seen] = {}
        self._relative: dict[str, float] = {}
        self._default = 1.0
        self._scale = 1.0
        self.renew()

    def saw(self, agent: str, weight: float, seconds: float) -> None:
        """A unit of `weight` took `seconds` there. `renew` follows, when all of a shard's were told."""
        weight, seconds = max(LEAST, weight), max(LEAST, seconds)
        seen = self._seen.setdefault(agent, _Seen())
        seen.logs += weight * log(weight / seconds)
        seen.weight += weight
        seen.seconds += seconds

    def of(self, agent: str) -> float:
        return self._relative.get(agent, self._default) / self._scale

    def knows(self, agent: str) -> bool:
        """Did it run something, now or in a past run?"""
        return agent in self._relative

    @property
    def usual(self) -> float:
        """Of an agent of which nothing is known."""
        return self._default / self._scale

    def relative(self) -> dict[str, float]:
        """By agent that ran something: beside those of past runs, or else beside this run's mean agent."""
        level = self._level()
        return {agent: exp(log(self._relative[agent]) - level) for agent in self._seen}

    def _level(self) -> float:
        """By how much all agents are faster now than past runs say: a log. The code has changed, not the machines."""
        both = [agent for agent in self._seen if agent in self._known]
        if both:
            weight = sum(self._seen[agent].weight for agent in both)
            return sum(self._seen[a].weight * (self._seen[a].mean - self._known[a]) for a in both) / weight
        weight = sum(seen.weight for seen in self._seen.values())
        return sum(seen.logs for seen in self._seen.values()) / weight if weight else 0.0

    def renew(self) -> None:
        """Of all that was seen."""
        level = self._level()
        known = {agent: value + level for agent, value in self._known.items()}
        seen = [each.mean for each in self._seen.values()]
        others = list(known.values()) or seen
        default = sum(others) / len(others) if others else 0.0
        self._default = exp(default)
        self._relative = {agent: exp(value) for agent, value in known.items()}
        for agent, each in self._seen.items():
            logs = each.logs + self._prior * known.get(agent, default)
            self._relative[agent] = exp(logs / (each.weight + self._prior))
        weight = sum(each.weight for each in self._seen.values())
        # so that all that was seen took, at these speeds, as long as it did: means of logs alone say less of long units
        taken = sum(each.seconds * self._relative[agent] for agent, each in self._seen.items())
        self._scale = taken / weight if weight else 1.0
