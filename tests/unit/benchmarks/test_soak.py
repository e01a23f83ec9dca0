"""What `benchmarks soak` makes of its samples."""

from __future__ import annotations

import random

import pytest

from benchmarks.measures.soak import slope

HOUR = 3600.0


def rows(growth: float, noise: float = 0.0) -> list[tuple[float, float]]:
    """A sample each 5 s for half an hour, from 50 on."""
    chance = random.Random(1)
    return [(at, 50 + growth * at / HOUR + chance.gauss(0, noise)) for at in range(0, 1800, 5)]


def test_a_line_has_its_slope() -> None:
    assert slope(rows(12.0), 1800) == pytest.approx((12.0, 12.0, 12.0))


@pytest.mark.parametrize("growth", [0.0, 2.0, -3.0])
def test_the_interval_holds_the_growth_below_noise(growth: float) -> None:
    found = slope(rows(growth, noise=0.3), 1800)
    assert found is not None
    low, _, high = found
    assert low < growth < high
    assert high - low < 2


def test_what_fills_in_the_first_third_is_not_growth() -> None:
    warm = [(float(at), min(at, 500) / 10) for at in range(0, 1800, 5)]
    assert slope(warm, 1800) == (0.0, 0.0, 0.0)


def test_two_minutes_tell_nothing() -> None:
    assert slope(rows(1.0)[:36], 180) is None
