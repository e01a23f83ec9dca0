"""Who was heard longest ago, and which account has the most."""

from __future__ import annotations

from master_bridge.fleet.last_heard import LastHeard


def test_the_account_with_most_is_looked_for_once_a_second() -> None:
    """Also after a clock was put back, and at once where that account has none any more."""
    last = LastHeard()
    for key in (("u", "1"), ("u", "2"), ("v", "1")):
        last.heard(key)
    assert last.largest(100.0) == "u"
    for name in "234":
        last.heard(("v", name))
    assert (last.largest(100.0), last.largest(100.9)) == ("u", "u")
    assert last.largest(101.0) == "v"
    for name in "1234":
        last.drop(("v", name))
    assert last.largest(101.0) == "u"
    for name in "123":
        last.heard(("w", name))
    assert last.largest(101.5) == "u"
    assert last.largest(99.0) == "w"


def test_the_first_is_the_one_that_was_heard_longest_ago() -> None:
    """Of all, and of an account."""
    last = LastHeard()
    for key in (("u", "1"), ("v", "1"), ("u", "2"), ("u", "1")):
        last.heard(key)
    assert (last.first(), last.first("u"), last.first("v")) == (("v", "1"), ("u", "2"), ("v", "1"))
    assert (last.count("u"), last.count("v"), last.count("w")) == (2, 1, 0)
