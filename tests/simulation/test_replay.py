"""A seed is a schedule: the same one, to the last line, whenever and wherever it is replayed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.plan import make_plan
from tests.simulation.profiles import PROFILES
from tests.simulation.run import run

_ROOT = Path(__file__).parents[2]


def _replay(profile: str, seed: int, hash_seed: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", "--profile", profile, "--seed", str(seed), *more]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("profile", ["mixed", pytest.param("two_masters", marks=pytest.mark.long)])
def test_a_schedule_replays_whatever_the_hash_seed(profile: str) -> None:
    """Sets of strings have another order in each process; nothing may depend on it."""
    first, second = _replay(profile, 3, "1"), _replay(profile, 3, "2")
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr
    assert len(first.stdout.splitlines()) > 50
    assert first.stdout == second.stdout


def test_the_replay_command_of_a_planted_fault_fails_and_says_why() -> None:
    """Exit code 1, the schedule, and the violated invariant at the end."""
    replay = _replay("calm", 0, "0", "--mutant", "keeps_sessions")
    assert replay.returncode == 1
    assert "Violated: nothing is left over" in replay.stdout


def test_a_plan_with_parts_left_out_keeps_the_others_as_they_are() -> None:
    """Leaving out a fault changes no other fault and no job: that is what makes shrinking sound."""
    plan = next(p for p in (make_plan("mixed", seed) for seed in range(50)) if len(p.faults) >= 5)
    kept = plan.keep(faults=[1, 3])
    assert kept.faults == (plan.faults[1], plan.faults[3])
    assert kept.jobs == plan.jobs
    assert plan.keep(jobs=[]).faults == plan.faults


@pytest.mark.parametrize("profile", list(PROFILES))
def test_every_profile_runs_commands(profile: str) -> None:
    """A profile in which nothing happens proves nothing."""
    outcomes = [run(make_plan(profile, seed)) for seed in range(5)]
    assert sum(outcome.executions for outcome in outcomes) >= 5
