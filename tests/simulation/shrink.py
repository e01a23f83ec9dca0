"""Delta debugging: the smallest part of a plan that still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests.simulation.plan import Plan
from tests.simulation.planted.mutants import NONE, Mutant
from tests.simulation.run import Outcome, run

Item = TypeVar("Item")


def minimize(items: list[Item], fails: Callable[[list[Item]], bool]) -> list[Item]:
    """A part of `items` that still `fails` and of which no single item can be left out (Zeller's ddmin)."""
    if not items or fails([]):
        return []
    parts = 2
    while len(items) >= 2:
        size = -(-len(items) // parts)
        for start in range(0, len(items), size):
            rest = items[:start] + items[start + size :]
            if fails(rest):
                items, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(items), parts * 2)
    return items


def shrink(failed: Outcome, *, mutant: Mutant = NONE) -> Outcome:
    """The same failure with as few faults, then as few jobs, as can be. Returns it with its schedule."""
    plan: Plan = failed.plan

    def fails(candidate: Plan) -> bool:
        return run(candidate, mutant=mutant).invariant == failed.invariant

    faults = minimize([fault.index for fault in plan.faults], lambda kept: fails(plan.keep(faults=kept)))
    plan = plan.keep(faults=faults)
    jobs = minimize([job.index for job in plan.jobs], lambda kept: fails(plan.keep(jobs=kept)))
    plan = plan.keep(jobs=jobs)
    return run(plan, mutant=mutant, tracing=True)


def report(failed: Outcome, *, mutant: Mutant = NONE) -> str:
    """For people: what is violated, the shrunk schedule, and the command that replays it."""
    small = shrink(failed, mutant=mutant)
    plan = small.plan
    command = f"python -m tests.simulation --profile {plan.profile} --seed {plan.seed}"
    command += " --faults " + (",".join(str(fault.index) for fault in plan.faults) or "none")
    command += " --jobs " + (",".join(str(job.index) for job in plan.jobs) or "none")
    if mutant is not NONE:
        command += f" --mutant {mutant.name}"
    return f"{small.schedule()}\n\nViolated: {small.invariant}\n  {small.detail}\n\nReplay: {command}\n"
