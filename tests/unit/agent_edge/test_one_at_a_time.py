"""Which consumers stay while an offer is held and settled, with a shared prefetch and without."""

from __future__ import annotations

import pytest

from worker_agent.link.amqp.one_at_a_time import ByCancelling, BySharedPrefetch, OneAtATime
from worker_agent.link.port import Settle

QUEUES = frozenset({"a", "b"})


def stay(way: OneAtATime, how: Settle, *, wanted: bool = False) -> set[str]:
    return {*way.staying(QUEUES, wanted=wanted, asked=QUEUES - {"b"} | {"c"}, how=how, source="a")}


def test_without_a_shared_prefetch_settling_cancels_nothing() -> None:
    """They were cancelled when the offer came, or are to serve the next one."""
    way = ByCancelling()
    assert not way.quiet(holds=True)
    assert stay(way, "ack") == stay(way, "give_back") == QUEUES


@pytest.mark.parametrize(("how", "expected"), [("ack", {"a", "c"}), ("park", {"a", "c"}), ("give_back", {"c"})])
def test_consumers_that_share_stay_but_the_one_that_would_get_its_offer_again(how: Settle, expected: set[str]) -> None:
    way = BySharedPrefetch()
    assert way.quiet(holds=True)
    assert not way.quiet(holds=False)
    assert stay(way, how) == expected


@pytest.mark.parametrize(
    ("published", "wanted", "none"), [(9.0, False, True), (9.0, True, False), (11.0, False, False)]
)
def test_with_a_backlog_all_are_cancelled(published: float, wanted: bool, none: bool) -> None:
    """Of an offer that was there before the agent was ready; not where the order says already who is wanted."""
    way = BySharedPrefetch(lambda: 10.0)
    way.ready()
    way.came(published)
    assert (stay(way, "ack", wanted=wanted) == set()) == none
