"""Whatever machines and units do: every unit has one result, nobody is idle while units wait, bounds hold."""

from __future__ import annotations

import random

import pytest

from tests.generated import fresh_seed
from tests.unit.battery.fleet import Machine, Simulation, World, judge, random_world

_COUNT, _LONG_COUNT = 1_000, 10_000
_FIRST = fresh_seed() or 0


def _run(first: int, count: int) -> None:
    for seed in range(first, first + count):
        simulation = Simulation(random_world(seed))
        try:
            simulation.run()
            judge(simulation)
        except AssertionError as problem:
            pytest.fail(f"fleet {seed}: {problem}", pytrace=True)


@pytest.mark.generated
def test_random_fleets() -> None:
    """Speeds, deaths, late comers, wrong timings, flaky units and killers, masters killed; a failure names its seed."""
    _run(_FIRST, _COUNT)


@pytest.mark.long
def test_many_random_fleets() -> None:
    """All the issue's ten thousand."""
    _run(_FIRST + _COUNT, _LONG_COUNT)


def _eight(slow: int = 2) -> tuple[Machine, ...]:
    return tuple(Machine(name=f"a{number}", speed=0.25 if number < slow else 1.0) for number in range(8))


def _makespan(
    seconds: dict[str, float], timings: dict[str, float], machines: tuple[Machine, ...]
) -> tuple[float, float]:
    """How long it took, and how long it must take: all work at all machines' speed, or the longest unit on the best."""
    simulation = Simulation(World(machines=machines, seconds=seconds, timings=timings, overhead=0.3))
    took = simulation.run()
    judge(simulation)
    fastest = max(machine.speed for machine in machines)
    work = sum(seconds.values()) / sum(machine.speed for machine in machines)
    return took, max(work, max(seconds.values()) / fastest)


def _batteries() -> list[dict[str, float]]:
    """All alike; some long; long tails; of different sizes.

    None with a unit that takes a slow agent longer than all others take the fleet, nearly: it cannot be divided, and
    whoever is free takes it.
    """
    found = []
    for seed in range(30):
        dice = random.Random(seed)
        count, spread = dice.choice([300, 980, 3000]), dice.choice([0.0, 0.5, 1.0])
        seconds = {f"t{number}": dice.lognormvariate(0, spread) for number in range(count)}
        if max(seconds.values()) / 0.25 <= 0.75 * sum(seconds.values()) / 6.5:
            found.append(seconds)
    return found


@pytest.mark.parametrize(("learned", "bound"), [(True, 1.15), (False, 1.5)], ids=["learned", "first run"])
def test_makespan_with_two_slow_agents(learned: bool, bound: float) -> None:
    """8 agents of which two are four times slower, at most so many times the lower bound."""
    worst = 0.0
    for seconds in _batteries():
        took, least = _makespan(seconds, dict(seconds) if learned else {}, _eight())
        worst = max(worst, took / least)
    assert worst <= bound
