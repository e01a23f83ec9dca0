"""An event that does not fit into the window is read once, not at each news of the session."""

from __future__ import annotations

from worker_agent.core.window import UNCONFIRMED_BYTES, EventWindow


def test_an_event_that_did_not_fit_is_known_by_its_size() -> None:
    """The window says how large the next event is, so that it need not be read before there is room for it."""
    window = EventWindow(0.0)
    assert window.size_of_next == 0
    window.published(2_000_000, 1, 0.0)
    window.keep_back(200_000)
    assert window.size_of_next == 200_000
    assert not window.has_room(window.size_of_next)


def test_it_is_forgotten_when_another_event_is_next() -> None:
    """After a replay another event is next, of a size not known yet; afterwards the first is known again."""
    window = EventWindow(0.0)
    window.published(2_000_000, 1, 0.0)
    window.keep_back(200_000)
    window.rewind(0, 1.0)
    assert window.size_of_next == 0
    window.published(2_000_000, 2, 1.0)
    assert window.size_of_next == 200_000
    window.confirmed(1)
    window.confirmed(2)
    window.advance(1, 2.0)
    assert window.has_room(window.size_of_next)


def test_what_is_confirmed_leaves_room_for_its_own_size_only() -> None:
    """After replays much is on its way to the broker that the window counts no more."""
    window, quarter = EventWindow(0.0), UNCONFIRMED_BYTES // 4
    window.last = 3
    for token in (1, 2, 3):
        window.published(quarter, token, 0.0)
        window.rewind(0, 0.0)
    assert window.has_room(quarter)
    assert not window.has_room(2 * quarter)
    window.confirmed(1)
    assert window.has_room(2 * quarter)
    assert not window.has_room(3 * quarter)
