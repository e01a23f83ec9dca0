"""How long batteries take in virtual time, beside the least that they can take: eight agents, two of them slow."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from tests.unit.battery.fleet import Machine, Simulation, World, judge

AGENTS, SLOW, SLOWER = 8, 2, 4.0
#: Units, and the sigma of the log-normal distribution that their seconds are drawn from.
COUNTS = (300, 980, 3000)
SPREADS = (0.0, 0.5, 1.0)


def machines(dice: random.Random) -> tuple[Machine, ...]:
    """In any order: the one that comes first takes the first shard."""
    speeds = [1 / SLOWER if number < SLOW else 1.0 for number in range(AGENTS)]
    made = [Machine(name=f"a{number}", speed=speed) for number, speed in enumerate(speeds)]
    return tuple(dice.sample(made, len(made)))


def least_seconds(seconds: Mapping[str, float], fleet: Sequence[Machine]) -> float:
    """The lower bound: all work at all agents' speed together, or the longest unit on the fastest agent, if that is
    longer: no unit can be divided."""
    speeds = [machine.speed for machine in fleet]
    return max(sum(seconds.values()) / sum(speeds), max(seconds.values()) / max(speeds))


def batteries(count: int, spread: float, number: int) -> Iterator[tuple[random.Random, dict[str, float]]]:
    """So many, drawn; the dice go on from there."""
    for seed in range(number):
        dice = random.Random(seed)
        yield dice, {f"t{unit}": dice.lognormvariate(0, spread) for unit in range(count)}


def two_runs(seconds: Mapping[str, float], dice: random.Random, overhead: float = 0.3) -> tuple[float, float]:
    """Of a battery that nobody ran before, and of the next one, which has learnt from it: (time) / (lower bound)."""
    timings: Mapping[str, float] = {}
    speeds: Mapping[str, float] = {}
    ratios = []
    for _ in range(2):
        fleet = machines(dice)
        world = World(machines=fleet, seconds=seconds, timings=timings, speeds=speeds, overhead=overhead)
        simulation = Simulation(world)
        ratios.append(simulation.run() / least_seconds(seconds, fleet))
        judge(simulation)
        timings, speeds = simulation.battery.learned()
    return ratios[0], ratios[1]
