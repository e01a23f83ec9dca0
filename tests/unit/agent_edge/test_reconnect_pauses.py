"""Pauses between two tries to reach the broker."""

from __future__ import annotations

from contracts.timing import GRACE
from worker_agent.link.link import longest_pause


def test_pauses_are_short_while_a_bridge_still_waits() -> None:
    """Within the grace no pause takes more than a second of it."""
    assert all(longest_pause(tenth / 10, 15.0) <= 1.0 for tenth in range(int(GRACE * 10) + 1))


def test_pauses_grow_to_their_bound() -> None:
    """A broker that is away for long is not asked all the time, but at least so often."""
    assert longest_pause(30.0, 15.0) == 6.0
    assert longest_pause(3600.0, 15.0) == 15.0
    assert longest_pause(3600.0, 0.2) == 0.2
