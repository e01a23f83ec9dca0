"""Peers of other versions: named once, kept a few times, all counted, nothing without a bound."""

from __future__ import annotations

from contracts.foreign import BROADCASTS_KEPT, PEERS_MAX, ForeignPeers


def test_each_is_named_once_and_a_few_of_its_broadcasts_are_kept() -> None:
    """Whatever another peer does."""
    peers = ForeignPeers()
    assert [peers.is_news(name) for name in ("a", "a", "b", "a")] == [True, False, True, False]
    assert [peers.keeps("a") for _ in range(BROADCASTS_KEPT + 2)] == [True] * BROADCASTS_KEPT + [False] * 2
    assert peers.keeps("b")


def test_names_that_somebody_makes_up_cost_a_bounded_memory() -> None:
    """Past the bound nobody else is named or kept; who is known still is, and a name is cut."""
    peers = ForeignPeers()
    for number in range(PEERS_MAX):
        assert peers.is_news(number)
        assert peers.keeps(number)
    assert not peers.is_news("one more")
    assert not peers.keeps("one more")
    assert peers.keeps(0)
    long = ForeignPeers()
    assert [long.is_news("x" * length) for length in (128, 129, 127)] == [True, False, True]
