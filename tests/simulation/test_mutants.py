"""The simulator bites: every invariant has a planted fault that it finds, and the faults are what it finds."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.simulation.plan import make_plan
from tests.simulation.planted.mutants import MUTANTS, Mutant
from tests.simulation.run import run
from tests.simulation.shrink import shrink

#: No machine can break these: they check the model's own bookkeeping (its Buildbot adds up what the events say, which
#: are compared one by one; what runs on in the end has a keeper, which is found first).
_NEEDS_NO_MUTANT = {"no command runs on", "a build ends with the result its commands had"}
#: Where a search found those that show late: looked at first, which spares the search while schedules stay as they are.
_FOUND_AT = {
    "believes_anybody": 46,
    "believes_digests": 15,
    "buries_what_waits": 29,
    "calls_no_roll": 18,
    "counts_silence_of_fenced": 124,
    "forgets_fencing": 124,
    "forgets_its_grants": 10,
    "grants_twice": 10,
    "has_no_grace": 57,
    "ignores_refusals": 188,
    "keeps_waited_for": 34,
    "never_asks": 20,
    "never_pauses": 30,
    "obeys_any_user": 53,
    "office_keeps_no_claims": 1847,
    "offers_once": 91,
    "sweeps_its_own_only": 87,
    "takes_any_for_first": 163,
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
def test_a_planted_fault_is_found(mutant: Mutant) -> None:
    """Within the number of seeds that it is given, as the violation that it was planted for."""
    found: dict[str, int] = {}
    first = _FOUND_AT.get(mutant.name, 0)
    for seed in sorted(range(mutant.seeds), key=lambda seed: seed != first):
        outcome = run(make_plan(mutant.profile, seed), mutant=mutant)
        if outcome.invariant is not None:
            found.setdefault(outcome.invariant, seed)
        if outcome.invariant == mutant.violates[0]:
            return
    pytest.fail(f"{mutant.name} survived {mutant.seeds} schedules of profile {mutant.profile}; it showed as {found}")


def test_every_invariant_has_a_planted_fault() -> None:
    """Except those that no machine can break."""
    folder = Path(__file__).parent
    source = "".join(path.read_text() for path in sorted(folder.rglob("*.py")) if not path.name.startswith("test_"))
    named = {
        line.split('"')[1]
        for line in source.replace("Violation(\n", "Violation(").splitlines()
        if 'Violation("' in line
    }
    planted = {invariant for mutant in MUTANTS.values() for invariant in mutant.violates}
    assert named - planted - _NEEDS_NO_MUTANT == set()
    assert planted <= named | {"no machine crashes"}  # which `run` says of whatever they raise


def test_a_failing_schedule_is_shrunk_to_what_it_needs() -> None:
    """Of what is left no single fault and no single job can be left out."""
    mutant = MUTANTS["has_no_grace"]
    failed = next(
        outcome
        for outcome in (run(make_plan(mutant.profile, seed), mutant=mutant) for seed in count())
        if outcome.invariant == mutant.violates[0] and len(outcome.plan.faults) > 1 and len(outcome.plan.jobs) > 1
    )
    small = shrink(failed, mutant=mutant)
    assert small.invariant == failed.invariant
    assert small.log
    faults, jobs = [f.index for f in small.plan.faults], [j.index for j in small.plan.jobs]
    assert len(faults) + len(jobs) < len(failed.plan.faults) + len(failed.plan.jobs)
    smaller = [
        *(small.plan.keep(faults=[f for f in faults if f != left_out]) for left_out in faults),
        *(small.plan.keep(jobs=[j for j in jobs if j != left_out]) for left_out in jobs),
    ]
    assert all(run(plan, mutant=mutant).invariant != failed.invariant for plan in smaller)
