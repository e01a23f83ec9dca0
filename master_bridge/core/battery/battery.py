"""The battery itself: what is offered, what becomes of it, and which result of each unit counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from master_bridge.core.battery.bounds import (
    DETAIL_SHORT,
    DETAILS_MAX,
    LOSSES_MAX,
    NARROWINGS_MAX,
    OPEN_MAX,
    PROBLEMS_MAX,
    SPARE_OFFERS,
)
from master_bridge.core.battery.estimates import Estimates
from master_bridge.core.battery.events import (
    Action,
    CancelShard,
    FleetSize,
    Input,
    OfferShard,
    Outcome,
    Over,
    Settled,
    Shard,
    ShardEnded,
    ShardLost,
    ShardReturned,
    ShardSpan,
    ShardTaken,
    StartShard,
    Stopped,
    UnitReport,
    UnitResult,
)  # fmt: skip
from master_bridge.core.battery.sizes import Queue, Share, share

#: Characters that are kept of why a unit failed in a run that does not count.
FIRST_MAX = 1024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a battery is to be run."""

    #: a shard is made this long at most, unless one unit takes longer
    target_seconds: float = 60.0
    #: so often a unit that failed runs again
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class RunningShard:
    """A shard that runs, and who runs it since when."""

    shard: Shard
    agent: str
    since: float
    #: of its units, in the weights of `Estimates`
    weight: float


_UNKNOWN = UnitReport(outcome="unknown")


@dataclass(frozen=True)
class _Group:
    """Units that are offered together again, as they are."""

    units: tuple[str, ...]
    losses: int


@dataclass
class Counts:
    """For people, and for the result."""

    passed: int = 0
    skipped: int = 0
    #: those that ended their machines, too
    failed: int = 0
    killers: int = 0
    flaky: int = 0
    #: shards that were lost
    lost: int = 0

    def add(self, outcome: Outcome) -> None:
        self.passed += outcome is Outcome.PASSED
        self.skipped += outcome is Outcome.SKIPPED
        self.failed += outcome.bad
        self.killers += outcome is Outcome.KILLER
        self.flaky += outcome is Outcome.FLAKY

    @property
    def settled(self) -> int:
        return self.passed + self.skipped + self.failed + self.flaky


class BatteryMachine:
    """`units` in the caller's order, each once; `timings`: seconds by unit, and `speeds`: by agent, of past runs.

    `handle(input, now)` gives what is to be done, in this order. The same inputs at the same times give the same
    shards: a battery whose master died is made again from what it was told (`journal.py`).
    """

    def __init__(
        self,
        units: Iterable[str],
        *,
        timings: Mapping[str, float],
        speeds: Mapping[str, float] = MappingProxyType({}),
        plan: Plan,
    ) -> None:
        self.units = tuple(dict.fromkeys(units))
        self.plan = plan
        self.estimates = Estimates(self.units, timings, speeds)
        self.counts = Counts()
        #: what counts, by unit
        self.results: dict[str, UnitResult] = {}
        #: shards that wait for an agent, the oldest first
        self.waiting: list[int] = []
        #: shards that run, by number
        self.running: dict[int, RunningShard] = {}
        #: who ran what when
        self.spans: list[ShardSpan] = []
        #: failures that are no unit's
        self.problems: list[str] = []
        #: what is wrong with reports: how often, and the first ones
        self.unusable = 0
        self.warnings: list[str] = []
        self.stopped = False
        self.began: float | None = None
        #: of all units, and of those that have a result, in the weights of `Estimates`
        self.weight = sum(map(self.estimates.weight, self.units))
        self.settled_weight = 0.0
        self._queue = Queue(self.units, self.estimates)
        self._groups: deque[_Group] = deque()
        self._runs: dict[str, _Runs] = {}
        self._slots = 0
        self._last = 0
        self._narrowings = 0
        self._over = False
        self._room = DETAILS_MAX
        self._actions: list[Action] = []

    def handle(self, event: Input, now: float) -> list[Action]:
        self._actions = []
        if self._over:
            return []
        _HANDLERS[type(event)](self, event, now)
        self._offer()
        if not self.running and (self.stopped or not self.left):
            self._over = True
            self._actions.append(Over())
        return self._actions

    @property
    def left(self) -> int:
        """Units in no shard that have no result yet."""
        return len(self._queue) + sum(len(group.units) for group in self._groups)

    @property
    def agents(self) -> int:
        """Who run shards now."""
        return len({item.agent for item in self.running.values()})

    def learned(self) -> tuple[dict[str, float], dict[str, float]]:
        """What this run shows: seconds by unit, as if all had run on one agent, and speeds by agent."""
        speeds = self.estimates.speeds.relative()
        timings = {
            result.unit: result.seconds * speeds[result.agent]
            for result in self.results.values()
            if result.seconds is not None
        }
        return timings, speeds

    # ---- inputs

    def _fleet(self, event: FleetSize, now: float) -> None:
        self._slots = max(0, event.slots)

    def _taken(self, event: ShardTaken, now: float) -> None:
        """A second time, when a master found its agents again after a restart: the first time counts."""
        item = self.running.get(event.shard)
        if item is not None:
            since = item.since if item.agent == event.agent else now
            self.running[event.shard] = replace(item, agent=event.agent, since=since)
        elif event.shard in self.waiting:
            self.waiting.remove(event.shard)
            self.began = now if self.began is None else self.began
            shard = self._shard(event.shard, event.agent, now)
            weight = sum(map(self.estimates.weight, shard.units))
            self.running[event.shard] = RunningShard(shard=shard, agent=event.agent, since=now, weight=weight)
        else:
            return
        self._actions.append(StartShard(shard=self.running[event.shard].shard))

    def _ended(self, event: ShardEnded, now: float) -> None:
        item = self.running.pop(event.shard, None)
        if item is None:
            return
        told = [event.reports.get(unit, _UNKNOWN).seconds for unit in item.shard.units]
        self.estimates.learn(item.agent, item.shard.units, event.seconds, told)
        failed = sum(event.reports.get(unit, _UNKNOWN).outcome in ("failed", "unknown") for unit in item.shard.units)
        self._span(item, now, failed=failed)
        if event.problem and len(self.problems) < PROBLEMS_MAX:
            self.problems.append(event.problem)
        if event.warning:
            self.unusable += 1
            self.warnings += [event.warning][: PROBLEMS_MAX - len(self.warnings)]
        unknown = []
        for unit in item.shard.units:
            report = event.reports.get(unit, _UNKNOWN)
            if report.outcome == "unknown":
                unknown.append((unit, report))
            else:
                self._reported(unit, report, item)
        if len(unknown) > 1 and self._narrowings < NARROWINGS_MAX and not self.stopped:
            self._narrowings += 1
            self._halve(tuple(unit for unit, _ in unknown), losses=0)
        else:
            for unit, report in unknown:
                self._reported(unit, UnitReport(outcome="failed", seconds=report.seconds, detail=report.detail), item)

    def _lost(self, event: ShardLost, now: float) -> None:
        item = self.running.pop(event.shard, None)
        if item is None:
            self._forget(event.shard)
            return
        self._span(item, now, lost=True)
        if self.stopped:
            return
        shard, losses = item.shard, item.shard.losses + 1
        self.counts.lost += 1
        if losses < LOSSES_MAX:
            self._groups.append(_Group(shard.units, losses))
        elif len(shard.units) > 1:
            # what was lost before is remembered: the half with the unit that does it is divided when it is lost again
            self._halve(shard.units, losses=LOSSES_MAX - 1)
        else:
            detail = f"each machine that ran it was lost, {losses} in turn; the last: {event.reason}"
            self._settle(shard.units[0], Outcome.KILLER, item, seconds=None, detail=detail)

    def _returned(self, event: ShardReturned, now: float) -> None:
        item = self.running.pop(event.shard, None)
        if item is None:
            self._forget(event.shard)
        elif not self.stopped:
            self._groups.append(_Group(item.shard.units, item.shard.losses))

    def _stop(self, event: Stopped, now: float) -> None:
        """Shards that run end, or are lost, as they do; nothing new is offered."""
        self.stopped = True
        self._queue.clear()
        self._groups.clear()  # so those that wait are cancelled, too
        self._actions += [CancelShard(shard=number) for number in self.running]

    def _forget(self, shard: int) -> None:
        """One that waited is over, whatever has become of its offer: another is made where it is needed."""
        if shard in self.waiting:
            self.waiting.remove(shard)

    # ---- results

    def _reported(self, unit: str, report: UnitReport, item: RunningShard) -> None:
        runs = self._runs.setdefault(unit, _Runs())
        runs.count += 1
        if report.outcome == "failed":
            runs.failures.append(report.detail[:FIRST_MAX])
            if len(runs.failures) <= self.plan.retries and not self.stopped:
                self._queue.put_back(unit)
            else:
                self._settle(unit, Outcome.FAILED, item, seconds=report.seconds, detail=report.detail)
        elif runs.failures:
            detail = f"failed {len(runs.failures)} times before it passed; the first time: {runs.failures[0]}"
            self._settle(unit, Outcome.FLAKY, item, seconds=report.seconds, detail=detail)
        else:
            self._settle(unit, Outcome(report.outcome), item, seconds=report.seconds, detail=report.detail)

    def _settle(self, unit: str, outcome: Outcome, item: RunningShard, *, seconds: float | None, detail: str) -> None:
        if len(detail) > self._room:
            detail = detail[:DETAIL_SHORT]
        self._room = max(0, self._room - len(detail))
        result = UnitResult(
            unit=unit,
            outcome=outcome,
            seconds=seconds,
            detail=detail,
            agent=item.agent,
            shard=item.shard.number,
            runs=self._runs.setdefault(unit, _Runs()).count,
        )
        assert unit not in self.results, f"a second result of {unit}"
        self.results[unit] = result
        self.counts.add(outcome)
        self.settled_weight += self.estimates.weight(unit)
        self._actions.append(Settled(result=result))

    def _span(self, item: RunningShard, now: float, *, failed: int = 0, lost: bool = False) -> None:
        units = len(item.shard.units)
        self.spans.append(
            ShardSpan(
                shard=item.shard.number,
                agent=item.agent,
                began=item.since,
                ended=now,
                units=units,
                failed=failed,
                lost=lost,
            )
        )

    # ---- shards

    def _halve(self, units: tuple[str, ...], *, losses: int) -> None:
        middle = (len(units) + 1) // 2
        self._groups.append(_Group(units[:middle], losses))
        self._groups.append(_Group(units[middle:], losses))

    def _offer(self) -> None:
        """There is an offer for each agent that is free, and some more for those that will be, and a unit for each."""
        left, taken = self.left, len(self.running)
        while len(self.waiting) > left:
            self._actions.append(CancelShard(shard=self.waiting.pop()))
        wanted = min(max(0, self._slots - taken) + SPARE_OFFERS, left, OPEN_MAX - taken)
        while len(self.waiting) < wanted:
            self._last += 1
            self.waiting.append(self._last)
            self._actions.append(OfferShard(shard=self._last))

    def _shard(self, number: int, agent: str, now: float) -> Shard:
        """For `agent`, which has come."""
        if self._groups:
            group = self._groups.popleft()
            units, losses = group.units, group.losses
        else:
            units, losses = self._queue.take(self._share(agent, now)), 0
        seconds = self.estimates.seconds(units, agent) if self.estimates.informed else None
        return Shard(number=number, units=units, losses=losses, seconds=seconds)

    def _share(self, agent: str, now: float) -> Share:
        """For `agent`, which has come: at all speed together, how long will it take to run all?"""
        speeds = self.estimates.speeds
        fleet = fastest = speeds.of(agent)
        left = self.weight - self.settled_weight
        for item in self.running.values():
            speed = speeds.of(item.agent)
            left -= min(item.weight, max(0.0, now - item.since) * speed)
            fleet, fastest = fleet + speed, max(fastest, speed)
        others = max(0, self._slots - len(self.running) - 1)
        if others:
            fleet, fastest = fleet + others * speeds.usual, max(fastest, speeds.usual)
        return share(
            self.estimates,
            agent,
            seconds_left=max(0.0, left) / fleet,
            fastest=fastest,
            target_seconds=self.plan.target_seconds,
        )


@dataclass
class _Runs:
    """Of a unit."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


_HANDLERS: dict[type, Callable[..., None]] = {
    FleetSize: BatteryMachine._fleet,
    ShardTaken: BatteryMachine._taken,
    ShardEnded: BatteryMachine._ended,
    ShardLost: BatteryMachine._lost,
    ShardReturned: BatteryMachine._returned,
    Stopped: BatteryMachine._stop,
}
