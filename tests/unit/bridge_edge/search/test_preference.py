"""For how long an agent is preferred: which seconds are a time."""

from __future__ import annotations

import pytest

from master_bridge.buildbot.search.preference import is_duration


@pytest.mark.parametrize("value", [0.001, 0.5, 1, 20.0, 10**9])
def test_a_time_is_a_number_above_zero(value: object) -> None:
    """Of less than a second, too."""
    assert is_duration(value)


@pytest.mark.parametrize("value", [0, 0.0, -1, True, "20", None, float("nan"), float("inf"), [1]])
def test_nothing_else_is_a_time(value: object) -> None:
    """No clock knows it."""
    assert not is_duration(value)
