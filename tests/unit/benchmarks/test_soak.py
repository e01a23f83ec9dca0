"""What `benchmarks soak` makes of its samples."""

from __future__ import annotations

import random

import pytest

from benchmarks.measures.soak import FULL, slope, warm

HOUR = 3600.0


def rows(growth: float, noise: float = 0.0) -> list[tuple[float, float]]:
    """A sample each 5 s for half an hour, from 50 on."""
    chance = random.Random(1)
    return [(at, 50 + growth * at / HOUR + chance.gauss(0, noise)) for at in range(0, 1800, 5)]


def test_a_line_has_its_slope() -> None:
    assert slope(rows(12.0), 600) == pytest.approx((12.0, 12.0, 12.0))


@pytest.mark.parametrize("growth", [0.0, 2.0, -3.0])
def test_the_interval_holds_the_growth_below_noise(growth: float) -> None:
    found = slope(rows(growth, noise=0.3), 600)
    assert found is not None
    low, _, high = found
    assert low < growth < high
    assert high - low < 2


def counts(per_second: float) -> list[tuple[float, int]]:
    return [(float(at), int(at * per_second)) for at in range(0, 1800, 5)]


@pytest.mark.parametrize(("per_second", "full"), [(10.0, 500.0), (2.0, 1125.0)])
def test_what_fills_once_is_not_growth(per_second: float, full: float) -> None:
    """It is full before the first third is over, or, where builds are slow, after it."""
    filling = [(float(at), min(at, full) / 10) for at in range(0, 1800, 5)]
    since, growth = warm(counts(per_second), 1800)
    assert growth == "growth"
    assert since == max(600.0, next(at for at, built in counts(per_second) if built >= FULL))
    assert slope(filling, since) == (0.0, 0.0, 0.0)


def test_too_few_builds_to_tell_are_said() -> None:
    assert warm(counts(0.3), 1800) == (600.0, "growth while it fills")


def test_two_minutes_tell_nothing() -> None:
    assert slope(rows(1.0)[:36], 60) is None
