"""When will a waiting request start? Pure.

The fleet is played forward some times: what runs ends after a time drawn from those that builds of its builder took,
given that it has run as long as it has; whoever becomes free takes the first request that it can serve, by priority
and age; and that one runs, and so on. Who has run gives its place free, and the locks that it held, to the first that
Buildbot holds back for want of one of these. What the plays say of a request's start is told as an early, a likely and
a late time: 8 of 10 plays lie between early and late. A request that comes later delays nobody, so none that is yet to
come is needed.
"""

from __future__ import annotations

import heapq
from bisect import bisect, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random
from types import MappingProxyType
from typing import NamedTuple

#: How often it is played, and for how many requests of each kind.
PLAYS, REQUESTS = 25, 200
#: Which of the sorted plays are told.
EARLY, LIKELY, LATE = 0.1, 0.5, 0.9


@dataclass(frozen=True, kw_only=True)
class Running:
    """One busy slot: what it runs, and for how many seconds it has done so. `builder` "": not known; `place`: what is
    free for the next request when it ends, "" where that is none of ours."""

    builder: str
    elapsed: float
    place: str = ""


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
    #: what is free for the next one when it has run
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A request for which nobody was asked yet: it waits for an agent as soon as `after` of its places have come free,
    all of which are taken now: one of its builder's, or as many of a lock's as it wants; `after` 0: none. `places`:
    place -> the signature with which it waits then."""

    request: str
    builder: str
    since: float
    places: Mapping[str, str]
    priority: int = 0
    after: int = 1


@dataclass(frozen=True, kw_only=True)
class ForecastStart:
    """Seconds from now."""

    early: float
    likely: float
    late: float


def forecast(
    waiting: Iterable[Waiting],
    machines: Sequence[Machine],
    took: Mapping[str, Sequence[float]],
    random: Random,
    held: Iterable[Held] = (),
    frees: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, ForecastStart]:
    """Request -> when it starts; without those that nobody serves, and empty where nothing is known of any build.

    `took`: builder -> seconds that its builds took. A builder that is not in it is taken for any of the others.
    `frees`: place -> what comes free with it when what runs there now ends: the locks of that build.
    """
    served = frozenset(signature for machine in machines for signature in machine.serves)
    held = [each for each in held if not served.isdisjoint(each.places.values())]
    ready = (_admitted(each, place) for each in held if not each.after for place in each.places)
    line = sorted((each for each in (*waiting, *ready) if each.signature in served), key=_order)[:REQUESTS]
    back = sorted((each for each in held if each.after), key=_order)[:REQUESTS]
    durations = _Durations(took, random)
    if not (line or back) or not durations.known:
        return {}
    wanted = {each.signature for each in line}.union(*(each.places.values() for each in back))
    # of thousands of agents most change nothing for who waits
    fleet = [
        machine
        for machine in machines
        if not wanted.isdisjoint(machine.serves) or (back and any(running.place for running in machine.running))
    ]
    free = list(_free(fleet, len(line) + len(back)))
    rests = [durations.rest(running, number) for number, machine in enumerate(fleet) for running in machine.running]
    starts: dict[str, list[float]] = {}
    for _ in range(PLAYS):
        for request, at in _Play(line, back, fleet, free, rests, durations, frees).starts():
            starts.setdefault(request, []).append(at)
    return {request: _told(sorted(times)) for request, times in starts.items()}


def _told(times: Sequence[float]) -> ForecastStart:
    def at(share: float) -> float:
        return times[int(share * len(times))]

    return ForecastStart(early=at(EARLY), likely=at(LIKELY), late=at(LATE))


def _free(machines: Sequence[Machine], most: int) -> Iterator[tuple[float, int, str]]:
    """(now, machine, no place) of free slots; of those that serve the same no more than `most`, as many as wait."""
    left: dict[frozenset[str], int] = {}
    for number, machine in enumerate(machines):
        here = min(machine.free, left.get(machine.serves, most))
        left[machine.serves] = left.get(machine.serves, most) - here
        yield from [(0.0, number, "")] * here


class _Rest(NamedTuple):
    """What is left of what a slot runs: one of `times` from `first` on, `choices` of them, less `elapsed`. `number`: of
    its machine; `place`: what it gives free."""

    times: Sequence[float]
    first: int
    choices: int
    elapsed: float
    number: int
    place: str


class _Durations:
    """Draws what a build takes from what builds of its builder took; of all builders where its own is not known."""

    def __init__(self, took: Mapping[str, Sequence[float]], random: Random) -> None:
        self._took = {builder: sorted(times) for builder, times in took.items() if times}
        self._all = sorted(time for times in self._took.values() for time in times)
        self.known = bool(self._all)
        self._random = random

    def whole(self, builder: str) -> float:
        return self._random.choice(self._took.get(builder, self._all))

    def rest(self, running: Running, number: int) -> _Rest:
        """Looked up once for all plays. One that runs longer than any before is taken to be half done."""
        elapsed = running.elapsed
        times = self._took.get(running.builder, self._all)
        first = bisect(times, elapsed)
        if first == len(times):
            times, first = [2 * elapsed], 0
        return _Rest(times, first, len(times) - first, elapsed, number, running.place)

    def draw(self, rests: Iterable[_Rest]) -> list[tuple[float, int, str]]:
        """(when, machine, place) of each: thousands of a large fleet, in each play."""
        random = self._random.random
        return [
            (times[first + int(random() * choices)] - elapsed, number, place)
            for times, first, choices, elapsed, number, place in rests
        ]


class _Play:
    """The fleet, played forward once."""

    def __init__(
        self,
        line: Sequence[Waiting],
        held: Sequence[Held],
        machines: Sequence[Machine],
        free: Sequence[tuple[float, int, str]],
        rests: Sequence[_Rest],
        durations: _Durations,
        frees: Mapping[str, Sequence[str]],
    ) -> None:
        self._line, self._held = list(line), list(held)
        self._after = {each.request: each.after for each in held}
        self._frees = dict(frees)
        self._serves = [machine.serves for machine in machines]
        self._durations = durations
        self._idle: list[int] = []
        #: (when, machine, place): a slot of the machine ends what it runs, which gives the place free
        self._ends = [*free, *durations.draw(rests)]
        heapq.heapify(self._ends)

    def starts(self) -> Iterator[tuple[str, float]]:
        """(request, its start)"""
        while self._ends and (self._line or self._held):
            now, number, place = heapq.heappop(self._ends)
            admitted = [each for freed in self._freed(place) if (each := self._admit(freed)) is not None]
            first = next((each for each in self._line if each.signature in self._serves[number]), None)
            if first is not None:
                yield self._start(first, number, now)
            else:
                self._idle.append(number)
            for each in admitted:
                other = next((idle for idle in self._idle if each.signature in self._serves[idle]), None)
                if each is not first and other is not None:
                    self._idle.remove(other)
                    yield self._start(each, other, now)

    def _freed(self, place: str) -> tuple[str, ...]:
        """The place, and the locks of what ran there when this began: what comes after it has its own or none."""
        return (place, *self._frees.pop(place, ())) if place else ()

    def _admit(self, place: str) -> Waiting | None:
        """The first of those held back that can have the place is the last of its priority to wait for an agent."""
        held = next((each for each in self._held if place in each.places), None)
        if held is None:
            return None
        self._after[held.request] -= 1
        if self._after[held.request]:
            return None
        self._held.remove(held)
        admitted = replace(_admitted(held, place), since=inf)
        insort(self._line, admitted, key=_order)
        return admitted

    def _start(self, request: Waiting, number: int, now: float) -> tuple[str, float]:
        self._line = [each for each in self._line if each is not request]
        heapq.heappush(self._ends, (now + self._durations.whole(request.builder), number, request.place))
        return request.request, now


def _admitted(held: Held, place: str) -> Waiting:
    return Waiting(
        request=held.request,
        signature=held.places[place],
        builder=held.builder,
        since=held.since,
        priority=held.priority,
        place=place,
    )


def _order(request: Waiting | Held) -> tuple[int, float]:
    return -request.priority, request.since
