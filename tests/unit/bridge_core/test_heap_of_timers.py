"""The bridge's alarms: what was dropped or moved takes no room until it would have been due."""

from __future__ import annotations

from master_bridge.core.timers import Timers


def test_alarms_that_are_dropped_long_before_they_are_due_leave_nothing() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.set("reoffer", f"br-{number}", 600.0 + number)
        timers.set("reoffer", f"br-{number}", None)
    assert len(timers._heap) <= 65


def test_an_alarm_that_is_moved_again_and_again_has_little_room_and_rings_once() -> None:
    timers = Timers()
    for number in range(10_000):
        timers.set("status", "", 10_000.0 - number)
    timers.set("other", "", 5.0)
    assert len(timers._heap) <= 70
    assert [timers.pop(20_000.0) for _ in range(3)] == [("status", ""), ("other", ""), None]
