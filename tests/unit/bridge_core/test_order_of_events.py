"""A session's events in order: where one stands, what is held until Buildbot has stored it, what is acknowledged."""

from __future__ import annotations

import pytest

from contracts.messages import Event
from contracts.timing import STORED_EVERY_BYTES
from master_bridge.core.events import EventOrder


def event(seq: int, size: int = 1) -> Event:
    return Event(session="s", seq=seq, n=1, kind="stdout", data=b"x" * size)


def delivered(count: int, size: int = 1) -> EventOrder:
    """So many events, whose deliveries are 100 and their numbers."""
    order = EventOrder()
    for seq in range(1, count + 1):
        order.deliver(event(seq, size), 100 + seq)
    return order


@pytest.mark.parametrize(
    ("seq", "open_", "place"),
    [
        (3, True, "next"), (2, True, "seen"), (1, True, "seen"), (4, True, "gap"),
        (3, False, "early"), (4, False, "early"), (2, False, "seen"),
    ],
)  # fmt: skip
def test_where_an_event_stands(seq: int, open_: bool, place: str) -> None:
    """After two were delivered; one that comes before its command was started is dropped."""
    order = delivered(2)
    assert order.place(event(seq), open_=open_) == place
    assert order.dropped is (place == "early")


def test_what_is_stored_is_acknowledged_once() -> None:
    """In order, up to that event; what was not delivered is not stored."""
    order = delivered(3)
    assert order.store(2) == ([101, 102], False)
    assert (order.stored, order.delivered) == (2, 3)
    assert order.store(1) == ([], False)
    assert order.stored == 2
    assert order.store(9) == ([103], False)
    assert order.stored == 3
    assert order.drain() == []


def test_an_agent_is_told_at_once_when_much_was_stored() -> None:
    """Since it was told last: the bytes of all that was stored."""
    half = STORED_EVERY_BYTES // 2
    order = delivered(3, half)
    assert order.store(1) == ([101], False)
    assert order.unreported == half
    assert order.store(2) == ([102], True)
    assert order.unreported == 2 * half
    order.unreported = 0
    assert order.store(3) == ([103], False)


def test_deliveries_of_a_lost_link_are_acknowledged_by_nobody() -> None:
    """Their bytes count when they are stored."""
    order = delivered(2, STORED_EVERY_BYTES)
    order.void()
    order.deliver(event(3), 203)
    assert order.store(1) == ([], True)
    assert order.drain() == [203]
    assert order.store(3) == ([], True)
    assert order.stored == 3


def test_what_is_held_at_the_end_is_acknowledged_too() -> None:
    """Nobody stores it any more."""
    order = delivered(2)
    assert order.drain() == [101, 102]
    assert order.drain() == []
