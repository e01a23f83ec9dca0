"""Whom to look at again: each at its own time, none because of the others."""

from __future__ import annotations

from master_bridge.fleet.due import _SPARE, Due

A, B = ("u", "a"), ("u", "b")


def test_each_is_taken_once_when_it_is_due() -> None:
    due = Due()
    due.by(A, 15.0)
    due.by(B, 10.0)
    assert due.take(9.0) == []
    assert due.take(15.0) == [B, A]
    assert due.take(99.0) == []


def test_the_earliest_time_counts_and_a_later_one_is_said_when_it_was_taken() -> None:
    due = Due()
    due.by(A, 180.0)
    due.by(A, 15.0)
    due.by(A, 60.0)
    assert due.take(15.0) == [A]
    due.by(A, 60.0)
    assert (due.take(59.0), due.take(60.0), due.take(180.0)) == ([], [A], [])


def test_who_is_dropped_is_not_taken_and_may_come_again() -> None:
    due = Due()
    due.by(A, 10.0)
    due.drop(A)
    due.drop(B)
    due.by(A, 20.0)
    assert (due.take(10.0), due.take(20.0)) == ([], [A])


def test_one_that_asks_for_ever_earlier_times_is_remembered_with_few_of_them() -> None:
    due = Due()
    due.by(B, 5.0)
    for number in range(10 * _SPARE):
        due.by(A, 1e6 - number)
    assert len(due) <= 2 * 2 + _SPARE
    assert due.take(1e6) == [B, A]
