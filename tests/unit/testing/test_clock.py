"""The virtual clock jumps; it never waits."""

from __future__ import annotations

from contracts.testing.clock import VirtualClock


def test_calls_are_made_at_their_time_and_in_the_order_asked_for() -> None:
    """Two calls due at once are made in the order of the asking, whatever was asked for in between."""
    clock = VirtualClock(100.0)
    seen: list[tuple[str, float]] = []
    clock.call_later(5.0, lambda: seen.append(("late", clock.now)))
    clock.call_later(2.0, lambda: seen.append(("first", clock.now)))
    clock.call_at(102.0, lambda: seen.append(("second", clock.now)))
    clock.run_until(104.0)
    assert seen == [("first", 102.0), ("second", 102.0)]
    assert clock.now == 104.0
    assert clock.next_deadline == 105.0


def test_a_cancelled_call_is_not_made() -> None:
    """Cancelling is silent, also when the call was already made."""
    clock = VirtualClock()
    seen: list[int] = []
    timer = clock.call_later(1.0, seen.append, 1)
    made = clock.call_later(1.0, seen.append, 2)
    timer.cancel()
    clock.run_until(2.0)
    made.cancel()
    assert seen == [2]
    assert clock.next_deadline is None


def test_a_call_in_the_past_is_made_now() -> None:
    """Time does not run backwards."""
    clock = VirtualClock(10.0)
    seen: list[float] = []
    clock.call_at(3.0, lambda: seen.append(clock.now))
    clock.run_until(10.0)
    assert seen == [10.0]


def test_run_while_stops_as_soon_as_its_condition_is_false() -> None:
    """The clock then stands at the moment that made it false."""
    clock = VirtualClock()
    seen: list[int] = []
    for i in range(5):
        clock.call_at(float(i), seen.append, i)
    assert clock.run_while(lambda: len(seen) < 3, until=100.0)
    assert clock.now == 2.0
    assert not clock.run_while(lambda: True, until=3.0)
    assert clock.now == 3.0
