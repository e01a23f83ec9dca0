"""Whatever happens to links, machines, masters and the broker: the invariants hold, in every seeded schedule."""

from __future__ import annotations

import pytest

from tests.generated import fresh_seed
from tests.simulation.plan import make_plan
from tests.simulation.profiles import ROTATION
from tests.simulation.run import run
from tests.simulation.shrink import report

#: 1,200 with `make test`
_SHARDS, _EACH = 12, 100
_LONG_SHARDS, _LONG_EACH = 200, 494
#: with `make test-long`, and `FRESH_SEED=123456 pytest tests/simulation`, another part of the space
_FIRST = fresh_seed() or 0


def _search(first: int, count: int) -> None:
    for seed in range(first, first + count):
        outcome = run(make_plan(ROTATION[seed % len(ROTATION)], seed))
        if outcome.failed:
            pytest.fail(report(outcome), pytrace=False)


@pytest.mark.generated
@pytest.mark.parametrize("shard", range(_SHARDS))
def test_the_invariants_hold(shard: int) -> None:
    """A failure prints its schedule, shrunk, and the command that replays it."""
    _search(_FIRST + shard * _EACH, _EACH)


#: of a master that is its own broker; 1,000 schedules with `make test`
_OFFICE = ("office", "office_commands", "office_restart")


@pytest.mark.generated
@pytest.mark.parametrize("shard", range(4))
def test_the_invariants_hold_without_a_broker(shard: int) -> None:
    """The post office is the real one, and the frames are."""
    _search_office(_FIRST + shard * 250, 250)


@pytest.mark.long
@pytest.mark.generated
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(99))
def test_the_invariants_hold_for_long_without_a_broker(shard: int) -> None:
    """99,000 more: 100,000 in all."""
    _search_office(_FIRST + 1000 + shard * 1000, 1000)


def _search_office(first: int, count: int) -> None:
    for seed in range(first, first + count):
        outcome = run(make_plan(_OFFICE[seed % len(_OFFICE)], seed))
        if outcome.failed:
            pytest.fail(report(outcome), pytrace=False)


#: of a fleet that moves; 200 schedules with `make test`
_MOVING = ("moving", "moving_once")


@pytest.mark.generated
@pytest.mark.parametrize("shard", range(2))
def test_the_invariants_hold_while_a_fleet_moves(shard: int) -> None:
    """The master is at a broker and its own; its two links as one are the real ones."""
    _search_moving(_FIRST + shard * 100, 100)


@pytest.mark.long
@pytest.mark.generated
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(20))
def test_the_invariants_hold_for_long_while_a_fleet_moves(shard: int) -> None:
    """20,000 more."""
    _search_moving(_FIRST + 200 + shard * 1000, 1000)


def _search_moving(first: int, count: int) -> None:
    for seed in range(first, first + count):
        outcome = run(make_plan(_MOVING[seed % len(_MOVING)], seed))
        if outcome.failed:
            pytest.fail(report(outcome), pytrace=False)


#: each was a violation once, and was mended; the plan of a profile and seed changes with the profile's definition
_FOUND = (("last_agents", 88025), ("mixed", 99950))


@pytest.mark.parametrize(("profile", "seed"), _FOUND)
def test_what_was_mended_stays_mended(profile: str, seed: int) -> None:
    """Long searches found these; a day's search is too short to find them again."""
    outcome = run(make_plan(profile, seed))
    assert not outcome.failed, report(outcome)


@pytest.mark.generated
@pytest.mark.parametrize(
    ("profile", "count"), [("backlog", 8), ("leaders", 50), ("stale", 50), ("operators", 30), ("operators_calm", 20)]
)
def test_the_invariants_hold_in_profiles_apart(profile: str, count: int) -> None:
    """Those that a search through all leaves out."""
    for seed in range(_FIRST, _FIRST + count):
        outcome = run(make_plan(profile, seed))
        assert not outcome.failed, report(outcome)


@pytest.mark.long
@pytest.mark.generated
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("profile", "count"),
    [("backlog", 500), ("leaders", 5000), ("stale", 5000), ("operators", 5000), ("operators_calm", 500)],
)
def test_the_invariants_hold_for_long_in_profiles_apart(profile: str, count: int) -> None:
    """More of them."""
    test_the_invariants_hold_in_profiles_apart(profile, count)


@pytest.mark.long
@pytest.mark.generated
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(_LONG_SHARDS))
def test_the_invariants_hold_for_long(shard: int) -> None:
    """98,800 more, behind those of `make test`: 100,000 in all."""
    _search(_FIRST + _SHARDS * _EACH + shard * _LONG_EACH, _LONG_EACH)
