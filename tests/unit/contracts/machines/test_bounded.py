"""A dictionary with room for so many entries is what a list of what was written last would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.machines.bounded import Bounded

KEYS = st.integers(0, 9)
STEPS = st.lists(st.tuples(st.sampled_from(("put", "put", "put", "discard", "get")), KEYS, st.integers()))


@given(size=st.integers(1, 6), steps=STEPS)
def test_it_has_what_was_written_last(size: int, steps: list[tuple[str, int, int]]) -> None:
    """Few entries are forgotten one by one."""
    bounded: Bounded[int, int] = Bounded(size)
    written: list[tuple[int, int]] = []
    for step, key, value in steps:
        there = dict(written)
        if step == "put":
            bounded.put(key, value)
            written = [*(each for each in written if each[0] != key), (key, value)][-size:]
        elif step == "discard":
            assert bounded.discard(key) == (key in there)
            written = [each for each in written if each[0] != key]
        else:
            assert bounded.get(key) == there.get(key)
        assert list(bounded) == [each[0] for each in written]
        assert list(bounded.values()) == [each[1] for each in written]
        assert len(bounded) == len(written)
        assert [each in bounded for each in range(10)] == [each in dict(written) for each in range(10)]


def test_of_many_some_are_forgotten_at_once() -> None:
    """No more than `size` at any time, and at least 63 of 64 of them, the youngest.

    Python finds a dictionary's first entry by going over all that was taken out before it: not for each one.
    """
    bounded: Bounded[int, int] = Bounded(640)
    sizes = set()
    for number in range(5_000):
        bounded.put(number, number)
        kept = list(bounded)
        assert kept == list(range(kept[0], number + 1))
        if number >= 640:
            sizes.add(len(kept))
    assert sizes == set(range(630, 641))
    # what is written anew is young again
    for number in range(200):
        bounded.put(kept[0], number)
        bounded.put(10_000 + number, number)
    assert bounded.get(kept[0]) == 199


def test_one_is_forgotten_for_each_when_there_is_room_for_few() -> None:
    bounded: Bounded[int, int] = Bounded(63)
    for number in range(200):
        bounded.put(number, number)
        assert len(bounded) == min(number + 1, 63)
