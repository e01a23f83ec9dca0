"""What an agent remembers of masters is bounded, whoever broadcasts under however many names."""

from __future__ import annotations

from worker_agent.core.masters import INCARNATIONS, MASTERS, Masters


def test_invented_masters_push_out_the_longest_silent_ones() -> None:
    """The one that is heard again and again stays."""
    masters = Masters()
    masters.heard("real", 0.0, "inc")
    for number in range(5 * MASTERS):
        masters.heard(f"invented-{number}", float(number), f"inc-{number}")
        if number % 100 == 0:
            masters.heard("real", float(number), "inc")
    assert len(masters._heard) == MASTERS
    assert len(masters._current) <= MASTERS
    assert len(masters._by_incarnation) <= INCARNATIONS
    assert masters.incarnation("real") == "inc"
    assert masters.master_of("inc") == "real"
    assert masters.heard_at("invented-0") is None
