"""Whom to look at again: each at its own time, none because of the others."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from master_bridge.fleet import due as module
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
    most = 0
    for number in range(10 * _SPARE):
        due.by(A, 1e6 - number)
        most = max(most, len(due))
    assert most == 2 * 2 + _SPARE
    assert due.take(1e6) == [B, A]


def test_old_entries_are_not_looked_for_each_time() -> None:
    """That would be a look at all keys whenever one says something."""
    due = Due()
    for number in range(_SPARE):
        due.by(A, 1e6 - number)
    assert len(due) == _SPARE


def test_what_was_said_is_not_remembered_again() -> None:
    due = Due()
    for at in (10.0, 10.0, 11.0):
        due.by(A, at)
    assert len(due) == 1


def test_what_is_left_when_old_entries_are_let_go_is_in_order() -> None:
    """The first key is the latest, all the time."""
    for rounds in range(3, 9):
        due, latest = Due(), 10 * rounds
        with mock.patch.object(module, "_SPARE", 2):
            for earlier in range(rounds):
                for number, key in enumerate(KEYS):
                    due.by(key, float(latest - 10 * earlier - number))
            assert [due.take(float(at)) for at in range(3, 11)] == [[key] for key in reversed(KEYS)]


KEYS = [("u", name) for name in "abcdefgh"]
TIMES = st.integers(0, 30).map(float)
SAID = st.tuples(st.just("by"), st.sampled_from(KEYS), TIMES)
OTHERS = st.tuples(st.sampled_from(("drop", "take")), st.sampled_from(KEYS), TIMES)


@given(st.lists(st.one_of(SAID, SAID, SAID, SAID, OTHERS), max_size=60))
def test_those_are_due_that_a_look_at_all_finds(steps: list[tuple[str, tuple[str, str], float]]) -> None:
    """The earliest first, whatever was let go on the way, and whatever was said in which order; times may go back."""
    due, plain = Due(), dict[tuple[str, str], float]()
    with mock.patch.object(module, "_SPARE", 2):
        for step, key, at in steps:
            if step == "by":
                due.by(key, at)
                plain[key] = min(at, plain.get(key, at))
            elif step == "drop":
                due.drop(key)
                plain.pop(key, None)
            else:
                taken = due.take(at)
                assert [plain[each] for each in taken] == sorted(plain[each] for each in taken)
                assert sorted(taken) == sorted(each for each, when in plain.items() if when <= at)
                plain = {each: when for each, when in plain.items() if when > at}
