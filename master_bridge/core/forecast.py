"""When will a waiting request start? Pure.

The fleet is played forward some times: what runs ends after a time drawn from those that builds of its builder took,
given that it has run as long as it has; whoever becomes free takes the first request that it can serve, by priority
and age; and that one runs, and so on. What the plays say of a request's start is told as an early, a likely and a late
time: 8 of 10 plays lie between early and late. A request that comes later delays nobody, so none that is yet to come
is needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

#: How often it is played, and for how many requests: the cost of one forecast is some 20 ms at most.
PLAYS, REQUESTS = 25, 200
#: Which of the sorted plays are told.
EARLY, LIKELY, LATE = 0.1, 0.5, 0.9


@dataclass(frozen=True, kw_only=True)
class Running:
    """One busy slot: what it runs, and for how many seconds it has done so. `builder` "": not known."""

    builder: str
    elapsed: float


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An agent that takes work. `serves`: signatures; a slot that runs nothing is free."""

    serves: frozenset[str]
    free: int
    running: tuple[Running, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A request; `since` orders requests of one priority, the smallest first."""

    request: str
    signature: str
    builder: str
    since: float
    priority: int = 0


@dataclass(frozen=True, kw_only=True)
class ForecastStart:
    """Seconds from now."""

    early: float
    likely: float
    late: float


def forecast(
    waiting: Iterable[Waiting], machines: Sequence[Machine], took: Mapping[str, Sequence[float]], random: Random
) -> dict[str, ForecastStart]:
    """Request -> when it starts; without those that nobody serves, and empty where nothing is known of any build.

    `took`: builder -> seconds that its builds took. A builder that is not in it is taken for any of the others.
    """
    served = frozenset(signature for machine in machines for signature in machine.serves)
    line = sorted(
        (each for each in waiting if each.signature in served), key=lambda each: (-each.priority, each.since)
    )[:REQUESTS]
    durations = _Durations(took, random)
    if not line or not durations.known:
        return {}
    starts: dict[str, list[float]] = {each.request: [] for each in line}
    for _ in range(PLAYS):
        for request, at in _play(line, machines, durations):
            starts[request].append(at)
    return {request: _told(sorted(times)) for request, times in starts.items() if times}


def _told(times: Sequence[float]) -> ForecastStart:
    def at(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))]

    return ForecastStart(early=at(EARLY), likely=at(LIKELY), late=at(LATE))


class _Durations:
    """Draws what a build takes from what builds of its builder took; of all builders where its own is not known."""

    def __init__(self, took: Mapping[str, Sequence[float]], random: Random) -> None:
        self._took = {builder: sorted(times) for builder, times in took.items() if times}
        self._all = sorted(time for times in self._took.values() for time in times)
        self.known = bool(self._all)
        self._random = random

    def whole(self, builder: str) -> float:
        return self._random.choice(self._took.get(builder, self._all))

    def rest(self, running: Running) -> float:
        """What is left. One that runs longer than any before is taken to be half done."""
        times = self._took.get(running.builder, self._all)
        longer = [time for time in times if time > running.elapsed]
        return (self._random.choice(longer) if longer else 2 * running.elapsed) - running.elapsed


def _play(line: Sequence[Waiting], machines: Sequence[Machine], durations: _Durations) -> Iterable[tuple[str, float]]:
    """(request, its start) in one play."""
    free: list[tuple[float, int]] = []
    for number, machine in enumerate(machines):
        free += [(0.0, number)] * machine.free
        free += [(durations.rest(running), number) for running in machine.running]
    heapq.heapify(free)
    left = list(line)
    while left and free:
        now, number = heapq.heappop(free)
        serves = machines[number].serves
        index = next((index for index, each in enumerate(left) if each.signature in serves), None)
        if index is not None:
            taken = left.pop(index)
            yield taken.request, now
            heapq.heappush(free, (now + durations.whole(taken.builder), number))
