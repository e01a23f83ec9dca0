"""A day of a fleet: builds come more often by day than by night, take log-normal times, and wait for agents.

Builds of the first `locked` columns share a lock. Each request is forecast when it begins to wait, from what could be
known then.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from random import Random
from statistics import mean

from master_bridge.core.forecast import ForecastStart, Held, Machine, Running, Waiting, forecast

DAY = 86_400.0
#: Builds whose durations are known of each builder; requests that start sooner than this (s) have no error to speak of.
KNOWN, SHORT = 30, 30.0
#: Builds that may have the lock at once.
LOCK = 3


@dataclass
class Agent:
    serves: frozenset[str]
    #: builder and start of what it runs
    runs: tuple[str, float] | None = None


@dataclass
class Request:
    number: int
    column: str
    arrived: float
    #: None: nobody could tell
    told: ForecastStart | None = None
    naive: float | None = None
    started: float | None = None


@dataclass
class Day:
    seed: int
    columns: int
    agents: int
    #: how many of the columns share the lock
    locked: int = 0
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._names = [f"c{number}" for number in range(self.columns)]
        self._median = {name: self._random.uniform(60.0, 1200.0) for name in self._names}
        self._sigma = {name: self._random.uniform(0.1, 0.6) for name in self._names}
        self._agents = [
            Agent(frozenset(self._random.sample(self._names, self._random.randint(1, 4)))) for _ in range(self.agents)
        ]
        for number, name in enumerate(self._names):  # every column has somebody
            agent = self._agents[number % self.agents]
            agent.serves |= {name}
        self._took: dict[str, list[float]] = {
            name: [self._duration(name) for _ in range(KNOWN)] for name in self._names
        }
        self._waits: dict[str, list[float]] = {name: [] for name in self._names}

    def _duration(self, column: str) -> float:
        return self._median[column] * math.exp(self._random.gauss(0.0, self._sigma[column]))

    def _arrivals(self) -> list[tuple[float, str]]:
        """About as much work as the agents can do by day, a fifth of it at night; in bursts, as pushes are."""
        work = mean(self._median.values())
        rate = 1.05 * self.agents / work
        found = []
        now = 0.0
        while now < DAY:
            by_day = 0.2 + 0.8 * max(0.0, math.sin((now / DAY - 0.25) * 2 * math.pi))
            now += self._random.expovariate(rate * by_day / 3)
            found += [(now + self._random.uniform(0, 5), self._random.choice(self._names)) for _ in range(3)]
        return sorted(found)

    def run(self) -> None:
        arrivals = self._arrivals()
        ends: list[tuple[float, int]] = []
        line: list[Request] = []
        while arrivals or ends:
            if arrivals and (not ends or arrivals[0][0] <= ends[0][0]):
                now, column = arrivals.pop(0)
                request = Request(len(self.requests), column, now)
                self.requests.append(request)
                line.append(request)
                self._start(line, ends, now)
                if request.started is None:
                    self._tell(request, line, now)
            else:
                now, number = heapq.heappop(ends)
                agent = self._agents[number]
                assert agent.runs is not None
                self._took[agent.runs[0]].append(now - agent.runs[1])
                agent.runs = None
                self._start(line, ends, now)

    def _start(self, line: list[Request], ends: list[tuple[float, int]], now: float) -> None:
        for request in list(line):
            if self._is_locked(request.column) and self._room() == 0:
                continue
            for number, agent in enumerate(self._agents):
                if agent.runs is None and request.column in agent.serves:
                    line.remove(request)
                    request.started, agent.runs = now, (request.column, now)
                    heapq.heappush(ends, (now + self._duration(request.column), number))
                    self._waits[request.column].append(now - request.arrived)
                    break

    def _is_locked(self, column: str) -> bool:
        return int(column[1:]) < self.locked

    def _room(self) -> int:
        """How many may have the lock yet."""
        return LOCK - sum(agent.runs is not None and self._is_locked(agent.runs[0]) for agent in self._agents)

    def _tell(self, request: Request, line: list[Request], now: float) -> None:
        machines = [
            Machine(
                serves=agent.serves,
                free=int(agent.runs is None),
                running=(
                    (Running(builder=agent.runs[0], elapsed=now - agent.runs[1], place=f"place {number}"),)
                    if agent.runs
                    else ()
                ),
            )
            for number, agent in enumerate(self._agents)
        ]
        back = [each for each in line if self._is_locked(each.column) and self._room() == 0]
        waiting = [
            Waiting(request=str(each.number), signature=each.column, builder=each.column, since=each.arrived)
            for each in line
            if each not in back
        ]
        held = [
            Held(request=str(each.number), builder=each.column, since=each.arrived, places={"lock": each.column})
            for each in back
        ]
        frees = {
            f"place {number}": ["lock"]
            for number, agent in enumerate(self._agents)
            if agent.runs is not None and self._is_locked(agent.runs[0])
        }
        took = {name: times[-KNOWN:] for name, times in self._took.items()}
        found = forecast(waiting, machines, took, Random(request.number), held, frees)
        request.told = found.get(str(request.number))
        waits = self._waits[request.column][-KNOWN:]
        request.naive = mean(waits) if waits else None

    def errors(self) -> tuple[list[float], list[float], list[bool]]:
        """Of those that waited: relative errors of the forecast and of the naive mean, and: was it in the span?"""
        errors, naive, inside = [], [], []
        for each in self.requests:
            if each.told is None or each.naive is None or each.started is None:
                continue
            waited = each.started - each.arrived
            if waited >= SHORT:
                errors.append(abs(each.told.likely - waited) / waited)
                naive.append(abs(each.naive - waited) / waited)
                inside.append(each.told.early <= waited <= each.told.late)
        return errors, naive, inside
