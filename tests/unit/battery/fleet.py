"""A fleet in virtual time: agents of any speed that come, die and come back; units that fail, flake and kill."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from master_bridge.core.battery import journal
from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.bounds import OPEN_MAX, SHARD_BYTES_MAX, SHARD_UNITS_MAX, SPARE_OFFERS
from master_bridge.core.battery.events import (
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
    ShardTaken,
    StartShard,
    UnitReport,
    UnitResult,
)  # fmt: skip

#: Seconds until a master gives a dead agent up.
GRACE = 5.0


@dataclass(frozen=True, kw_only=True)
class Machine:
    name: str
    speed: float = 1.0
    comes: float = 0.0
    #: when its power is cut
    dies: tuple[float, ...] = ()
    #: seconds until it is back; None: never
    back: float | None = 30.0


@dataclass(frozen=True, kw_only=True)
class World:
    """`seconds`: by unit, on a machine of speed 1. `flaky`: how often it fails before it passes."""

    machines: tuple[Machine, ...]
    seconds: Mapping[str, float]
    timings: Mapping[str, float] = field(default_factory=dict)
    #: by machine, of past runs
    speeds: Mapping[str, float] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    failing: frozenset[str] = frozenset()
    flaky: Mapping[str, int] = field(default_factory=dict)
    killers: frozenset[str] = frozenset()
    #: a shard's own cost, seconds
    overhead: float = 0.3
    #: False: a shard with a failure says that it failed, and not by which unit
    reports: bool = True
    #: the master is killed, and its battery made again from its journal, at these inputs
    restarts: frozenset[int] = frozenset()


class Simulation:
    """Run it with `run`; what must hold all the time is asserted on the way."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.beginning = journal.Beginning(
            key="k", units=tuple(world.seconds), timings=world.timings, speeds=world.speeds, plan=world.plan
        )
        self.lines = [journal.beginning_line(self.beginning)]
        self.battery: BatteryMachine = self.beginning.battery()
        self.waiting: set[int] = set()
        self.results: dict[str, UnitResult] = {}
        self.over = False
        self.shards = 0
        self.lost_on: dict[str, int] = {}
        self._events: list[tuple[float, int, object]] = []
        self._count = itertools.count()
        self._runs: dict[str, int] = {}
        self._idle: dict[str, Machine] = {}
        #: machine -> the life in which it is; what was planned in an earlier one does not happen
        self._life: dict[str, int] = {}
        self._holds: dict[str, int] = {}

    def run(self) -> float:
        """Until the battery is over; gives how long it took."""
        for machine in self.world.machines:
            self._at(machine.comes, ("comes", machine))
            for moment in machine.dies:
                self._at(max(moment, machine.comes), ("dies", machine))
        # a master knows of its fleet before a step begins
        self._tell(FleetSize(slots=sum(machine.comes == 0.0 for machine in self.world.machines)), 0.0)
        while not self.over:
            assert self._events, "nothing will happen any more"
            now, _, event = heapq.heappop(self._events)
            self._happens(event, now)
            self._pull(now)
        return now

    def _at(self, moment: float, event: object) -> None:
        heapq.heappush(self._events, (moment, next(self._count), event))

    def _happens(self, event: object, now: float) -> None:
        match event:
            case ("comes", Machine() as machine):
                if machine.name not in self._life or self._life[machine.name] < 0:
                    self._life[machine.name] = abs(self._life.get(machine.name, 0)) + 1
                    self._idle[machine.name] = machine
                    if now > 0:
                        self._tell(FleetSize(slots=self._alive()), now)
            case ("dies", Machine() as machine):
                self._die(machine, now)
            case ("ends", Machine() as machine, int(life), ShardEnded() as ended):
                if self._life[machine.name] == life:
                    del self._holds[machine.name]
                    self._idle[machine.name] = machine
                    self._tell(ended, now)
            case ("kills", Machine() as machine, int(life)):
                if self._life[machine.name] == life:
                    self._die(machine, now)
            case ("lost", int(number)):
                self._tell(ShardLost(shard=number, reason="it is silent"), now)
            case _:
                raise AssertionError(event)

    def _alive(self) -> int:
        return sum(life > 0 for life in self._life.values())

    def _die(self, machine: Machine, now: float) -> None:
        if self._life.get(machine.name, 0) <= 0:
            return
        self._life[machine.name] *= -1
        self._idle.pop(machine.name, None)
        held = self._holds.pop(machine.name, None)
        if held is not None:
            for unit in self.battery.running[held].shard.units:
                self.lost_on[unit] = self.lost_on.get(unit, 0) + 1
            self._at(now + GRACE, ("lost", held))
        if machine.back is not None:
            self._at(now + machine.back, ("comes", machine))
        self._tell(FleetSize(slots=self._alive()), now)

    def _pull(self, now: float) -> None:
        """Whoever is free takes the oldest offer: the broker's part."""
        while self._idle and self.waiting:
            name, machine = next(iter(self._idle.items()))
            del self._idle[name]
            number = min(self.waiting)
            self.waiting.remove(number)
            self._holds[name] = number
            self._tell(ShardTaken(shard=number, agent=name), now)
            self._start(machine, self.battery.running[number].shard, now)
        if not self.over:
            assert not self._idle or self.battery.left == 0, "an agent is free, and units wait"

    def _start(self, machine: Machine, shard: Shard, now: float) -> None:
        world, life = self.world, self._life[machine.name]
        seconds, reports = world.overhead, {}
        for unit in shard.units:
            seconds += world.seconds[unit] / machine.speed
            if unit in world.killers:
                self._at(now + seconds, ("kills", machine, life))
                return
            self._runs[unit] = self._runs.get(unit, 0) + 1
            bad = unit in world.failing or self._runs[unit] <= world.flaky.get(unit, 0)
            reports[unit] = UnitReport(
                outcome="failed" if bad else "passed", seconds=world.seconds[unit] / machine.speed, detail=""
            )
        if not world.reports and any(report.outcome == "failed" for report in reports.values()):
            reports = {}
        self._at(
            now + seconds, ("ends", machine, life, ShardEnded(shard=shard.number, seconds=seconds, reports=reports))
        )

    def _tell(self, event: Input, now: float) -> None:
        """Written, then handled, as the edge does."""
        if self.over:
            return
        self.lines.append(journal.input_line(event, now))
        if len(self.lines) in self.world.restarts:
            self._restart()
        else:
            self._carry_out(self.battery.handle(event, now))
        self._check()

    def _restart(self) -> None:
        """The master died after it wrote the last line: what that line leads to is in what is read."""
        self.lines += ['{"t": "shardended", "sha', ""]
        found = journal.read(self.lines)
        assert found is not None
        _, self.battery = found
        held = set(self._holds.values())
        lost = {event[1] for _, _, event in self._events if isinstance(event, tuple) and event[0] == "lost"}
        assert not set(self.battery.running) - held - lost
        self.waiting = set(self.battery.waiting) - held
        self.results = dict(self.battery.results)
        self.shards = max([self.shards, *self.battery.running, *self.battery.waiting])
        self.over = not self.battery.running and not self.battery.left

    def _carry_out(self, actions: Sequence[object]) -> None:
        for action in actions:
            match action:
                case OfferShard(shard=number):
                    assert number > self.shards, "a number is used again"
                    self.shards = number
                    self.waiting.add(number)
                case StartShard(shard=shard):
                    assert shard.number in self._holds.values()
                case CancelShard(shard=number):
                    self.waiting.remove(number)
                case Settled(result=result):
                    assert result.unit not in self.results, "a second result"
                    self.results[result.unit] = result
                case Over():
                    self.over = True
                case _:
                    raise AssertionError(action)

    def _check(self) -> None:
        battery = self.battery
        assert len(battery.running) + len(battery.waiting) <= OPEN_MAX
        assert len(battery.waiting) <= max(self._alive(), len(self.world.machines)) + SPARE_OFFERS
        assert len(battery.waiting) <= battery.left
        units = [unit for item in battery.running.values() for unit in item.shard.units]
        assert len(units) == len(set(units)), "a unit is in two shards"
        for item in battery.running.values():
            shard = item.shard
            assert 1 <= len(shard.units) <= SHARD_UNITS_MAX
            assert sum(len(unit) + 1 for unit in shard.units) <= SHARD_BYTES_MAX or len(shard.units) == 1


def random_world(seed: int) -> World:
    """A fleet and a battery of any kind, with at least one machine that comes back."""
    dice = random.Random(seed)
    units = [f"t{number}" for number in range(dice.choice([1, 2, 5, 20, 60, 150]))]
    spread = dice.choice([0.0, 0.5, 1.5])
    seconds = {unit: dice.choice([0.1, 2.0]) * dice.lognormvariate(0, spread) for unit in units}
    work = sum(seconds.values())
    machines = tuple(_machines(dice, work))
    return World(
        machines=machines,
        speeds=_speeds(dice, machines),
        seconds=seconds,
        timings=_timings(dice, seconds),
        plan=Plan(target_seconds=dice.choice([0.5, 5.0, 60.0]), retries=dice.choice([0, 0, 1, 2])),
        failing=frozenset(unit for unit in units if dice.random() < dice.choice([0.0, 0.02, 0.5])),
        flaky={unit: dice.choice([1, 1, 2]) for unit in units if dice.random() < dice.choice([0.0, 0.05])},
        killers=frozenset(dice.sample(units, min(len(units), dice.choice([0, 0, 0, 1, 2])))),
        overhead=dice.choice([0.0, 0.3, 2.0]),
        reports=dice.random() < 0.7,
        restarts=frozenset(dice.sample(range(3, 200), dice.choice([0, 0, 1, 4]))),
    )


def _machines(dice: random.Random, work: float) -> Iterator[Machine]:
    for number in range(dice.choice([1, 2, 3, 8, 20])):
        deaths = dice.choice([0, 0, 0, 1, 3]) if number else 0
        yield Machine(
            name=f"a{number}",
            speed=dice.choice([1.0, 1.0, 0.25, 3.0]),
            comes=dice.choice([0.0, 0.0, dice.random() * work]),
            dies=tuple(dice.random() * work for _ in range(deaths)),
            back=dice.choice([None, 1.0, 30.0]) if number else 30.0,
        )


def _speeds(dice: random.Random, machines: Sequence[Machine]) -> dict[str, float]:
    kind = dice.choice(["none", "right", "some", "wrong"])
    if kind == "none":
        return {}
    if kind == "wrong":
        return {machine.name: dice.choice([1e-6, 0.1, 10.0, 1e6]) for machine in machines}
    return {machine.name: machine.speed for machine in machines if kind == "right" or dice.random() < 0.5}


def _timings(dice: random.Random, seconds: Mapping[str, float]) -> dict[str, float]:
    kind = dice.choice(["none", "right", "some", "wrong"])
    if kind == "none":
        return {}
    if kind == "wrong":
        return {unit: dice.random() * 10 + 0.001 for unit in seconds}
    return {unit: value for unit, value in seconds.items() if kind == "right" or dice.random() < 0.5}


def judge(simulation: Simulation) -> None:
    """What must hold at the end."""
    world, results = simulation.world, simulation.results
    assert results.keys() == world.seconds.keys()
    for unit, result in results.items():
        if result.outcome is Outcome.KILLER:
            assert simulation.lost_on[unit] >= 2, f"{unit} ended no machines"
        else:
            assert unit not in world.killers
        if unit in world.failing:
            assert result.outcome.bad
        if result.outcome is Outcome.FLAKY:
            assert result.runs > 1
            # where no report tells which unit it was, only so many shards are divided to find out
            assert world.flaky.get(unit, 0) > 0 or not world.reports
        if result.outcome is Outcome.FAILED and world.reports:
            assert unit in world.failing or world.flaky.get(unit, 0) > world.plan.retries
