"""A session's window: which event is next, what is under way, what has arrived, and when to send again."""

from __future__ import annotations

import pytest

from contracts.messages import Event
from contracts.timing import EVENT_RESEND, WINDOW_BYTES, WINDOW_EVENTS
from worker_agent.core.window import UNCONFIRMED_BYTES, EventWindow, event_size


def window(published: int = 0, *, last: int = 10, size: int = 10, at: float = 100.0) -> EventWindow:
    """With so many events under way, all published at `at`; the token of event n is 100 + n."""
    made = EventWindow(0.0)
    made.last = last
    for number in range(1, published + 1):
        made.published(size, 100 + number, at)
    return made


def tokens(made: EventWindow, *numbers: int) -> None:
    for number in numbers:
        made.confirmed(100 + number)


@pytest.mark.parametrize(
    ("fields", "size"),
    [({}, 0), ({"data": b"12345"}, 5), ({"value": "abc"}, 3), ({"value": [1, 22]}, 7), ({"data": b"1", "value": 0}, 2)],
)
def test_an_event_counts_for_its_data_and_its_value(fields: dict[str, object], size: int) -> None:
    """In bytes, the value as text."""
    assert event_size(Event(session="s", seq=1, n=1, kind="update", **fields)) == size  # type: ignore[arg-type]


def test_a_new_window_waits_for_the_first_event() -> None:
    """All that there is has arrived: nothing."""
    made = EventWindow(0.0)
    assert (made.stored, made.next, made.last) == (0, 1, 0)
    assert made.all_confirmed
    assert made.has_room(WINDOW_BYTES + 1), "a single one may always go"
    assert made.resend_at(50.0) is None
    assert made.size_of_next == 0


# ---- how much may be under way


def test_so_many_events_may_be_under_way() -> None:
    """Until one is stored."""
    made = window(WINDOW_EVENTS, last=100, size=1)
    assert not made.has_room(0)
    made.advance(1, 101.0)
    assert made.has_room(0)
    assert made.next == WINDOW_EVENTS + 1


def test_so_many_bytes_may_be_under_way() -> None:
    """The last of them included; what is stored no longer counts."""
    made = window()
    made.published(WINDOW_BYTES - 10, 101, 100.0)
    assert made.has_room(10)
    assert not made.has_room(11)
    made.published(10, 102, 100.0)
    assert not made.has_room(1)
    made.confirmed(101)
    made.confirmed(102)
    assert not made.has_room(1), "what is confirmed only is under way"
    made.advance(1, 101.0)
    assert made.has_room(WINDOW_BYTES - 10)
    assert not made.has_room(WINDOW_BYTES - 9)


def test_a_blocked_connection_gets_no_more_than_twice_that() -> None:
    """Replays count again, until they are confirmed; a lost link forgets them."""
    made = window()
    for round in range(2):
        made.rewind(0, 100.0)
        made.published(WINDOW_BYTES, 101 + round, 100.0)
    made.rewind(0, 100.0)
    assert UNCONFIRMED_BYTES == 2 * WINDOW_BYTES
    assert made.has_room(0)
    assert not made.has_room(1)
    made.confirmed(101)
    assert made.has_room(WINDOW_BYTES)
    assert not made.has_room(WINDOW_BYTES + 1)
    made.published(WINDOW_BYTES, 103, 100.0)
    made.link_lost()
    made.rewind(0, 100.0)
    assert made.has_room(3 * WINDOW_BYTES)


# ---- what has arrived


def test_all_has_arrived_when_each_event_is_confirmed_or_stored() -> None:
    """In whichever order."""
    made = window(3, last=3)
    tokens(made, 3, 1)
    assert not made.all_confirmed
    tokens(made, 2)
    assert made.all_confirmed
    made.last = 4
    assert not made.all_confirmed
    made.advance(4, 101.0)
    assert made.all_confirmed


def test_what_was_confirmed_of_events_that_are_stored_does_not_count_for_others() -> None:
    """Nor does a confirmation of an event that is to go out again."""
    made = window(3, last=3)
    tokens(made, 1, 2)
    made.advance(2, 101.0)
    assert not made.all_confirmed
    made.confirmed(103)
    assert made.all_confirmed
    again = window(2, last=2)
    again.rewind(0, 101.0)
    again.confirmed(102)
    again.published(10, 201, 101.0)
    again.published(10, 202, 101.0)
    again.confirmed(201)
    assert not again.all_confirmed
    again.confirmed(202)
    assert again.all_confirmed


def test_a_confirmation_of_what_is_stored_already_is_late() -> None:
    """And of a token that nobody knows, nothing."""
    made = window(2, last=2)
    made.advance(1, 101.0)
    tokens(made, 1)
    made.confirmed(999)
    assert not made.all_confirmed
    tokens(made, 2)
    assert made.all_confirmed


# ---- refused by the broker


def test_a_confirmation_of_what_goes_out_again_says_nothing_of_the_second_time() -> None:
    """Of the very event that is next, too."""
    made = window(1, last=1)
    made.rewind(0, 101.0)
    tokens(made, 1)
    assert made.has_room(0)
    made.published(10, 201, 102.0)
    assert not made.all_confirmed
    made.link_lost()
    assert made.next == 1


def test_what_was_confirmed_behind_a_refused_event_goes_out_again_unconfirmed() -> None:
    """The queue has it twice then, and may have lost it once."""
    made = window(2, last=2)
    tokens(made, 2)
    made.refused(101, 101.0)
    made.published(10, 201, 107.0)
    made.published(10, 202, 107.0)
    made.confirmed(201)
    assert not made.all_confirmed
    made.link_lost()
    assert made.next == 2


def test_what_the_broker_refuses_goes_out_again_after_a_pause_with_all_behind_it() -> None:
    """It may come in any order; what was confirmed before it stays so."""
    made = window(4, last=4)
    tokens(made, 1, 4)
    made.refused(103, 110.0)
    assert made.next == 3
    assert not made.has_room(0)
    assert made.resend_at(0.0) == 110.0 + EVENT_RESEND
    made.refused(102, 111.0)
    assert made.next == 2
    assert made.resend_at(0.0) == 111.0 + EVENT_RESEND
    made.resend(116.0)
    assert made.has_room(0)
    assert made.next == 2
    for number in (2, 3, 4):
        made.published(10, 200 + number, 116.0)
    assert not made.all_confirmed
    for number in (2, 3, 4):
        made.confirmed(200 + number)
    assert made.all_confirmed


def test_a_refusal_of_what_is_stored_or_goes_out_again_anyway_pauses_nothing() -> None:
    """The bridge has it, or it is behind the next one."""
    made = window(3, last=3)
    made.advance(1, 101.0)
    made.refused(101, 102.0)
    assert made.next == 4
    assert made.has_room(0)
    made.rewind(1, 103.0)
    made.refused(103, 104.0)
    assert (made.next, made.has_room(0)) == (2, True)
    made.refused(102, 104.0)
    assert (made.next, made.has_room(0)) == (2, True)
    made.refused(999, 104.0)
    assert (made.next, made.has_room(0)) == (2, True)


def test_bytes_of_what_goes_back_are_no_longer_under_way() -> None:
    """Of each of them."""
    made = window(last=4)
    for number in (1, 2, 3):
        made.published(1000 * number, 100 + number, 100.0)
    made.refused(102, 101.0)
    made.resend(106.0)
    assert made.has_room(WINDOW_BYTES - 1000)
    assert not made.has_room(WINDOW_BYTES - 999)


# ---- stored, replayed, lost


def test_stored_moves_the_left_border_only_forward() -> None:
    """And the next event with it, where the bridge has more than was sent."""
    made = window(3)
    made.advance(2, 101.0)
    assert (made.stored, made.next) == (2, 4)
    made.advance(1, 102.0)
    assert (made.stored, made.next) == (2, 4)
    made.advance(7, 103.0)
    assert (made.stored, made.next) == (7, 8)


def test_stored_ends_a_pause() -> None:
    """The broker has room again; the same number again is no news."""
    made = window(3)
    made.advance(1, 101.0)
    made.refused(102, 102.0)
    made.advance(1, 103.0)
    assert not made.has_room(0)
    made.advance(2, 103.0)
    assert made.has_room(0)


def test_a_replay_begins_behind_what_is_stored() -> None:
    """Also before it; nothing is under way then, and no pause is left."""
    made = window(5)
    made.advance(4, 101.0)
    made.refused(105, 102.0)
    made.rewind(2, 103.0)
    assert (made.stored, made.next) == (2, 3)
    assert made.has_room(WINDOW_BYTES)
    assert made.resend_at(200.0) is None
    made.last = 2
    assert made.all_confirmed


def test_a_lost_link_voids_what_was_not_confirmed() -> None:
    """From the first such event on."""
    made = window(4)
    tokens(made, 1, 3)
    made.link_lost()
    assert made.next == 2
    made.confirmed(104)
    assert made.next == 2
    whole = window(2)
    tokens(whole, 1, 2)
    whole.link_lost()
    assert whole.next == 3
    paused = window(2)
    paused.refused(102, 101.0)
    paused.link_lost()
    assert paused.next == 1
    assert paused.has_room(0)


# ---- again


def test_what_arrived_and_is_not_stored_is_sent_again_when_the_bridge_speaks() -> None:
    """Five seconds after the last progress: the first of those under way, or what was stored since."""
    made = window(2, last=2, at=100.0)
    assert made.resend_at(200.0) is None, "what is not answered is waited for"
    tokens(made, 1)
    assert made.resend_at(200.0) is None
    tokens(made, 2)
    assert made.resend_at(100.0) is None, "it has said nothing since"
    assert made.resend_at(100.1) == 100.0 + EVENT_RESEND
    made.advance(1, 103.0)
    assert made.resend_at(103.0) is None
    assert made.resend_at(104.0) == 103.0 + EVENT_RESEND
    made.resend(108.0)
    assert (made.next, made.stored) == (2, 1)
    made.published(10, 201, 109.0)
    made.confirmed(201)
    assert made.resend_at(110.0) == 109.0 + EVENT_RESEND


def test_the_first_event_under_way_sets_the_clock_and_no_later_one() -> None:
    """Else a session that says much would never be asked for what was lost."""
    made = window(1, at=100.0)
    made.published(10, 102, 104.0)
    tokens(made, 1, 2)
    assert made.resend_at(105.0) == 100.0 + EVENT_RESEND
    made.advance(2, 106.0)
    assert made.resend_at(107.0) is None, "nothing is under way"
