"""Whatever happens to links, machines, masters and the broker: the invariants hold, in every seeded schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.generated import fresh_seed
from tests.simulation.plan import make_plan
from tests.simulation.profiles import ROTATION
from tests.simulation.run import run
from tests.simulation.shrink import report


@dataclass(frozen=True)
class _Family:
    #: take turns
    profiles: Sequence[str]
    #: schedules with `make test`
    few: int
    #: with `make test-long` and `make test` together
    many: int


_FAMILIES = {
    "broker": _Family(ROTATION, 180, 100_000),
    # a master that is its own broker: the post office is the real one, and the frames are
    "office": _Family(("office", "office_commands", "office_restart"), 120, 100_000),
    # the master is at a broker and its own; its two links as one are the real ones
    "moving": _Family(("moving", "moving_once"), 60, 20_000),
}
#: with `make test-long`, and `FRESH_SEED=123456 pytest tests/simulation`, another part of the space
_FIRST = fresh_seed() or 0


def _shards(family: str, begin: int, end: int, size: int) -> list[tuple[str, int, int]]:
    """Of one test each: the family, its first schedule and the one after its last."""
    return [(family, first, min(first + size, end)) for first in range(begin, end, size)]


_FEW = [shard for name, each in _FAMILIES.items() for shard in _shards(name, 0, each.few, 60)]
_MANY = [shard for name, each in _FAMILIES.items() for shard in _shards(name, each.few, each.many, 500)]


@pytest.mark.generated
@pytest.mark.parametrize(("family", "first", "end"), _FEW)
def test_the_invariants_hold(family: str, first: int, end: int) -> None:
    """A failure prints its schedule, shrunk, and the command that replays it."""
    profiles = _FAMILIES[family].profiles
    for seed in range(_FIRST + first, _FIRST + end):
        outcome = run(make_plan(profiles[seed % len(profiles)], seed))
        if outcome.failed:
            pytest.fail(report(outcome), pytrace=False)


@pytest.mark.long
@pytest.mark.generated
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("family", "first", "end"), _MANY)
def test_the_invariants_hold_for_long(family: str, first: int, end: int) -> None:
    """More of them."""
    test_the_invariants_hold(family, first, end)


#: each was a violation once, and was mended; the plan of a profile and seed changes with the profile's definition
_FOUND = (("last_agents", 88025), ("mixed", 99950), ("mixed", 28030))


@pytest.mark.parametrize(("profile", "seed"), _FOUND)
def test_what_was_mended_stays_mended(profile: str, seed: int) -> None:
    """Long searches found these; a day's search is too short to find them again."""
    outcome = run(make_plan(profile, seed))
    assert not outcome.failed, report(outcome)


@pytest.mark.generated
@pytest.mark.parametrize(
    ("profile", "count"), [("backlog", 4), ("leaders", 25), ("stale", 25), ("operators", 15), ("operators_calm", 10)]
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
