"""Whatever machines and units do: every unit has one result, nobody is idle while units wait, bounds hold."""

from __future__ import annotations

import random

import pytest

from tests.generated import fresh_seed
from tests.unit.battery.fleet import Simulation, World, judge, random_world
from tests.unit.battery.makespan import COUNTS, SPREADS, batteries, least_seconds, machines, two_runs

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


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("count", COUNTS)
def test_makespan_with_two_slow_agents(count: int, spread: float) -> None:
    """8 agents of which two are four times slower: at most so many times the lower bound, in a first run and after it.

    A first run may put the one long unit that it knows nothing of on a slow agent; the mean is bounded there.
    """
    firsts, seconds_runs = zip(*(two_runs(seconds, dice) for dice, seconds in batteries(count, spread, 3)), strict=True)
    assert sum(firsts) / len(firsts) <= 1.5
    assert max(seconds_runs) <= 1.15


@pytest.mark.parametrize("timed", [True, False], ids=["with timings", "without"])
def test_agents_of_which_nothing_is_known_get_little_at_first(timed: bool) -> None:
    """Their names are new, and two of them are slow."""
    for dice, seconds in batteries(300, 0.5, 3):
        fleet = machines(dice)
        simulation = Simulation(World(machines=fleet, seconds=seconds, timings=seconds if timed else {}))
        assert simulation.run() / least_seconds(seconds, fleet) <= (1.15 if timed else 1.5)


def test_one_unit_as_long_as_all_the_others() -> None:
    """Nothing can end earlier than it; once it is known, a fast agent begins with it, and no slow one takes it."""
    seconds = {f"t{unit}": 1.0 for unit in range(300)} | {"long": 80.0}
    for seed in range(10):
        _, second = two_runs(seconds, random.Random(seed))
        assert second <= 1.05
