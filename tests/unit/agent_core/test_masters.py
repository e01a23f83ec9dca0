"""What an agent remembers of masters is bounded, whoever broadcasts under however many names."""

from __future__ import annotations

from worker_agent.core.masters import INCARNATIONS, MASTERS, MasterId, Masters

REAL = MasterId("real", "u")


def test_invented_masters_push_out_the_longest_silent_ones() -> None:
    """The one that is heard again and again stays."""
    masters = Masters()
    masters.heard(REAL, 0.0, "inc")
    for number in range(5 * MASTERS):
        masters.heard(MasterId(f"invented-{number}", "u"), float(number), f"inc-{number}")
        if number % 100 == 0:
            masters.heard(REAL, float(number), "inc")
    assert len(masters._heard) == MASTERS
    assert len(masters._by_incarnation) <= INCARNATIONS
    assert masters.incarnation(REAL) == "inc"
    assert masters.master_of("inc", "u") == REAL
    assert masters.heard_at(MasterId("invented-0", "u")) is None
