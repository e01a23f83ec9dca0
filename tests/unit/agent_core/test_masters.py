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


def test_masters_that_never_answer_push_out_the_oldest_of_them() -> None:
    """Offers name their master: whoever may offer can invent as many as they like."""
    masters = Masters()
    for number in range(3 * MASTERS):
        assert masters.mark_silent(MasterId(f"invented-{number}", "u"))
        masters.mark_absent(MasterId(f"invented-{number}", "u"))
    assert len(masters._silent) == len(masters._absent)
    assert MASTERS - MASTERS // 64 <= len(masters._silent) <= MASTERS, "one of 64 is forgotten at once"
    assert masters.is_silent(MasterId(f"invented-{3 * MASTERS - 1}", "u"))
    assert masters.is_absent(MasterId(f"invented-{3 * MASTERS - 1}", "u"))
    assert masters.mark_silent(MasterId("invented-0", "u")), "what is forgotten is found out, and told, again"


def test_a_master_is_silent_until_it_is_heard() -> None:
    """Who learns of a change first is told; one that is heard without having been silent is no news."""
    masters = Masters()
    assert not masters.is_silent(REAL)
    assert masters.mark_silent(REAL)
    assert not masters.mark_silent(REAL)
    assert masters.is_silent(REAL)
    assert not masters.is_silent(MasterId("real", "other"))
    assert masters.heard(REAL, 5.0)
    assert not masters.is_silent(REAL)
    assert not masters.heard(REAL, 6.0)
    assert masters.heard_at(REAL) == 6.0


def test_a_master_without_a_queue_is_absent_until_it_is_heard() -> None:
    """By its name and user."""
    masters = Masters()
    masters.mark_absent(REAL)
    assert masters.is_absent(REAL)
    assert not masters.is_absent(MasterId("real", "other"))
    masters.heard(REAL, 1.0)
    assert not masters.is_absent(REAL)


def test_a_name_that_another_user_announced_is_disowned() -> None:
    """Unless both say so; a name that nobody announced is nobody's."""
    masters = Masters()
    other = MasterId("real", "other")
    assert not masters.is_disowned(other)
    masters.announced(MasterId("another", "u"))
    assert not masters.is_disowned(other)
    masters.announced(REAL)
    assert masters.is_disowned(other)
    assert not masters.is_disowned(REAL)
    masters.announced(other)
    assert not masters.is_disowned(other)


def test_an_incarnation_is_that_of_the_master_who_named_it_first() -> None:
    """As one user; nobody takes it over. A word without one keeps the last."""
    masters = Masters()
    assert masters.incarnation(REAL) is None
    masters.heard(REAL, 1.0)
    assert masters.incarnation(REAL) is None
    masters.heard(REAL, 2.0, "inc")
    masters.heard(REAL, 3.0)
    assert masters.incarnation(REAL) == "inc"
    masters.heard(MasterId("thief", "u"), 4.0, "inc")
    assert masters.master_of("inc", "u") == REAL
    assert masters.master_of("inc", "v") is None
    masters.heard(MasterId("thief", "v"), 5.0, "inc")
    assert masters.master_of("inc", "v") == MasterId("thief", "v")
    masters.heard(REAL, 6.0, "inc-2")
    assert masters.incarnation(REAL) == "inc-2"
    assert masters.master_of("inc", "u") == REAL
