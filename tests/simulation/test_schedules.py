"""Whatever happens to links, machines, masters and the broker: the invariants hold, in every seeded schedule."""

from __future__ import annotations

import os

import pytest

from tests.simulation.plan import make_plan
from tests.simulation.profiles import PROFILES
from tests.simulation.run import run
from tests.simulation.shrink import report

_NAMES = tuple(PROFILES)
#: 2,000 with `make test`, in shards that xdist can spread
_SHARDS, _EACH = 20, 100
_LONG_SHARDS, _LONG_EACH = 200, 490
#: another part of the space: `SIMULATION_SEED=123456 pytest tests/simulation`
_FIRST = int(os.environ.get("SIMULATION_SEED", "0"))


def _search(first: int, count: int) -> None:
    for seed in range(first, first + count):
        outcome = run(make_plan(_NAMES[seed % len(_NAMES)], seed))
        if outcome.failed:
            pytest.fail(report(outcome), pytrace=False)


@pytest.mark.parametrize("shard", range(_SHARDS))
def test_the_invariants_hold(shard: int) -> None:
    """A failure prints its schedule, shrunk, and the command that replays it."""
    _search(_FIRST + shard * _EACH, _EACH)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(_LONG_SHARDS))
def test_the_invariants_hold_for_long(shard: int) -> None:
    """98,000 more, behind those of every day: 100,000 in all."""
    _search(_FIRST + _SHARDS * _EACH + shard * _LONG_EACH, _LONG_EACH)
