"""What `benchmarks soak` makes of its samples."""

from __future__ import annotations

import random

import pytest

from benchmarks.measures import soak
from benchmarks.measures.soak import slope
from benchmarks.report.figures import Figure
from benchmarks.report.goals import flat
from worker_agent.core.ended import REMEMBERED

HOUR = 3600.0


def rows(growth: float, noise: float = 0.0) -> list[tuple[float, float]]:
    """A sample each 5 s for half an hour, from 50 on."""
    chance = random.Random(1)
    return [(at, 50 + growth * at / HOUR + chance.gauss(0, noise)) for at in range(0, 1800, 5)]


def test_a_line_has_its_slope() -> None:
    assert slope(rows(12.0)) == pytest.approx((12.0, 12.0, 12.0))


@pytest.mark.parametrize("growth", [0.0, 2.0, -3.0])
def test_the_interval_holds_the_growth_below_noise(growth: float) -> None:
    found = slope(rows(growth, noise=0.3))
    assert found is not None
    low, _, high = found
    assert low < growth < high
    assert high - low < 2


@pytest.mark.parametrize(("growth", "least", "most"), [(0.0, 0, 10), (4.0, 95, 100)])
def test_means_that_depend_on_one_another_tell_less(growth: float, least: int, most: int) -> None:
    """Up and down as memory goes. Of 100 series without growth few are said to have any (15 with an interval
    for means that are independent); of those with growth nearly all are found."""
    grow = 0
    for seed in range(100):
        chance, level, drifting = random.Random(seed), 0.0, []
        for at in range(0, 1800, 5):
            level = 0.95 * level + chance.gauss(0, 0.05)
            drifting.append((float(at), 50 + level + growth * at / HOUR))
        found = slope(drifting)
        assert found is not None
        grow += found[0] > 0
    assert least <= grow <= most


def test_few_means_have_a_wide_interval() -> None:
    """Three points, one degree of freedom: 12.71 times the standard error, not twice."""
    found = slope([(0.0, 0.0), (60.0, 1.0), (120.0, 1.0)])
    assert found is not None
    low, middle, high = found
    assert middle == pytest.approx(30.0)
    assert high - low == pytest.approx(2 * 12.71 * 60 * (1 / 12) ** 0.5, rel=0.01)


def test_two_minutes_tell_nothing() -> None:
    assert slope(rows(1.0)[:24]) is None


def test_all_that_agents_remember_is_full_after_the_warm_up() -> None:
    assert soak.WORKERS * max(REMEMBERED, soak.TABLES) < soak.FULL


@pytest.mark.parametrize(
    ("what", "values", "still"),
    [
        ("tasks, growth", (-1.0, 0.5, 2.0), True),
        ("tasks, growth", (-3.0, -2.0, -1.0), True),
        ("tasks, growth", (0.1, 0.5, 0.9), False),
        ("tasks, growth while it fills", (0.1, 0.5, 0.9), None),
        ("tasks, at the end", (5.0,), None),
        ("tasks, growth", (), None),
    ],
)
def test_the_goal_is_no_growth_that_can_be_shown(what: str, values: tuple[float, ...], still: bool | None) -> None:
    figure = Figure(case="soak", what=what, peer="ours", unit="/hour", better="less", values=values)
    assert flat(figure) is still
