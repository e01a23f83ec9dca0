"""Waiting for what moves: the machine's load is no failure, standing still is one."""

from __future__ import annotations

import itertools

import pytest

from tests.harness.waiting import wait_while_it_moves


def test_it_waits_as_long_as_there_is_progress() -> None:
    """Longer than what may stand still: each look shows another state."""
    states, looks = itertools.count(), itertools.count()
    wait_while_it_moves(lambda: next(looks) == 20, lambda: next(states), lambda: "never", still=0.02, every=0.005)
    assert next(looks) == 21


def test_what_stands_still_fails() -> None:
    with pytest.raises(AssertionError, match=r"nothing moved for 0\.02 s: three left"):
        wait_while_it_moves(lambda: False, lambda: {"queue": 3}, lambda: "three left", still=0.02, every=0.001)
