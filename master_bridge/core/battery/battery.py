"""The battery itself: what is offered, what becomes of it, and which result of each unit counts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

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
    Fleet,
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
    Stopped,
    UnitReport,
    UnitResult,
)  # fmt: skip
from master_bridge.core.battery.sizes import Queue

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
class Open:
    """A shard that waits for an agent, or runs."""

    shard: Shard
    #: who runs it, and since when; None: it waits
    agent: str | None = None
    since: float = 0.0


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
    """`units` in the caller's order, each once; `timings`: seconds by unit, of past runs.

    `handle(input, now)` gives what is to be done, in this order. The same inputs at the same times give the same
    shards: a battery whose master died is made again from what it was told (`journal.py`).
    """

    def __init__(self, units: Iterable[str], *, timings: Mapping[str, float], plan: Plan) -> None:
        self.units = tuple(dict.fromkeys(units))
        self.plan = plan
        self.estimates = Estimates(self.units, timings)
        self.counts = Counts()
        #: what counts, by unit
        self.results: dict[str, UnitResult] = {}
        #: shards that wait or run, by number
        self.open: dict[int, Open] = {}
        #: who ran what when
        self.spans: list[ShardSpan] = []
        #: failures that are no unit's
        self.problems: list[str] = []
        self.stopped = False
        self.began: float | None = None
        #: of all units, and of those that have a result, in the weights of `Estimates`
        self.weight = sum(map(self.estimates.weight, self.units))
        self.settled_weight = 0.0
        self._queue = Queue(self.units, self.estimates, target_seconds=plan.target_seconds)
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
        if not self.open and (self.stopped or not self.left):
            self._over = True
            self._actions.append(Over())
        return self._actions

    @property
    def left(self) -> int:
        """Units in no shard that have no result yet."""
        return len(self._queue) + sum(len(group.units) for group in self._groups)

    @property
    def running(self) -> list[Open]:
        return [item for item in self.open.values() if item.agent is not None]

    @property
    def agents(self) -> int:
        """Who run shards now."""
        return len({item.agent for item in self.running})

    # ---- inputs

    def _fleet(self, event: Fleet, now: float) -> None:
        self._slots = max(0, event.slots)

    def _taken(self, event: ShardTaken, now: float) -> None:
        """A second time, when a master found its agents again after a restart: the first time counts."""
        item = self.open.get(event.shard)
        if item is None:
            return
        self.began = now if self.began is None else self.began
        since = item.since if item.agent == event.agent else now
        self.open[event.shard] = Open(shard=item.shard, agent=event.agent, since=since)

    def _ended(self, event: ShardEnded, now: float) -> None:
        item = self.open.pop(event.shard, None)
        if item is None:
            return
        told = [event.reports.get(unit, _UNKNOWN).seconds for unit in item.shard.units]
        measured = None if None in told else sum(seconds or 0.0 for seconds in told)
        self.estimates.learn(item.shard.units, event.seconds, measured)
        failed = sum(event.reports.get(unit, _UNKNOWN).outcome in ("failed", "unknown") for unit in item.shard.units)
        self._span(item, now, failed=failed)
        if event.problem and len(self.problems) < PROBLEMS_MAX:
            self.problems.append(event.problem)
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
        item = self.open.pop(event.shard, None)
        if item is None:
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
            self._settle(shard.units[0], Outcome.KILLER, UnitReport(outcome="failed", detail=detail), item)

    def _returned(self, event: ShardReturned, now: float) -> None:
        item = self.open.pop(event.shard, None)
        if item is not None and not self.stopped:
            self._groups.append(_Group(item.shard.units, item.shard.losses))

    def _stop(self, event: Stopped, now: float) -> None:
        """Shards that run end, or are lost, as they do; nothing new is offered."""
        self.stopped = True
        self._queue.clear()
        self._groups.clear()
        self._actions += [CancelShard(shard=number) for number in self.open]

    # ---- results

    def _reported(self, unit: str, report: UnitReport, item: Open) -> None:
        runs = self._runs.setdefault(unit, _Runs())
        runs.count += 1
        if report.outcome == "failed":
            runs.failures.append(report.detail[:FIRST_MAX])
            if len(runs.failures) <= self.plan.retries and not self.stopped:
                self._queue.put_back(unit)
            else:
                self._settle(unit, Outcome.FAILED, report, item)
        elif runs.failures:
            detail = f"failed {len(runs.failures)} times before it passed; the first time: {runs.failures[0]}"
            self._settle(unit, Outcome.FLAKY, UnitReport(outcome="passed", seconds=report.seconds, detail=detail), item)
        else:
            self._settle(unit, Outcome(report.outcome), report, item)

    def _settle(self, unit: str, outcome: Outcome, report: UnitReport, item: Open) -> None:
        detail = report.detail if len(report.detail) <= self._room else report.detail[:DETAIL_SHORT]
        self._room = max(0, self._room - len(detail))
        result = UnitResult(
            unit=unit,
            outcome=outcome,
            seconds=report.seconds,
            detail=detail,
            agent=item.agent or "",
            shard=item.shard.number,
            runs=self._runs.setdefault(unit, _Runs()).count,
        )
        assert unit not in self.results, f"a second result of {unit}"
        self.results[unit] = result
        self.counts.add(outcome)
        self.settled_weight += self.estimates.weight(unit)
        self._actions.append(Settled(result=result))

    def _span(self, item: Open, now: float, *, failed: int = 0, lost: bool = False) -> None:
        if item.agent is None:
            return
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
        """There is an offer for each agent that is free, and some more for those that will be."""
        taken = len(self.running)
        wanted = max(0, self._slots - taken) + SPARE_OFFERS
        waiting = len(self.open) - taken
        while self.left and waiting < wanted and len(self.open) < OPEN_MAX:
            if self._groups:
                group = self._groups.popleft()
                units, losses = group.units, group.losses
            else:
                units, losses = self._queue.take(max(self._slots, taken)), 0
            self._last += 1
            seconds = sum(map(self.estimates.weight, units)) * self.estimates.scale
            shard = Shard(
                number=self._last, units=units, losses=losses, seconds=seconds if self.estimates.informed else None
            )
            self.open[shard.number] = Open(shard=shard)
            self._actions.append(OfferShard(shard=shard))
            waiting += 1


@dataclass
class _Runs:
    """Of a unit."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


_HANDLERS: dict[type, Callable[..., None]] = {
    Fleet: BatteryMachine._fleet,
    ShardTaken: BatteryMachine._taken,
    ShardEnded: BatteryMachine._ended,
    ShardLost: BatteryMachine._lost,
    ShardReturned: BatteryMachine._returned,
    Stopped: BatteryMachine._stop,
}
