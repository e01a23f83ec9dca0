"""`python -m tests.simulation`: replay one schedule, or search many for a failing one."""

from __future__ import annotations

import time

import click

from tests.simulation.plan import make_plan
from tests.simulation.planted.mutants import MUTANTS, NONE
from tests.simulation.profiles import PROFILES, ROTATION
from tests.simulation.run import run
from tests.simulation.shrink import report


def _indices(text: str | None) -> list[int] | None:
    if text is None:
        return None
    return [] if text == "none" else [int(word) for word in text.split(",")]


@click.command()
@click.option("--profile", type=click.Choice([*PROFILES, "all"]), default="mixed", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="the seed to replay, or the first one")
@click.option("--seeds", type=int, help="search this many seeds from --seed on, and shrink what fails")
@click.option("--faults", help="keep only these faults of the plan: 0,3 or none")
@click.option("--jobs", help="keep only these jobs of the plan: 0,3 or none")
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="plant this fault")
@click.option("--all-failures", is_flag=True, help="go on after a failure, one line each, nothing shrunk")
def main(
    profile: str,
    seed: int,
    seeds: int | None,
    faults: str | None,
    jobs: str | None,
    mutant: str | None,
    all_failures: bool,
) -> None:
    """Run the protocol's machines under seeded faults. Exit code 1: an invariant was violated."""
    planted = MUTANTS[mutant] if mutant else NONE
    if seeds is None:
        outcome = run(make_plan(profile, seed).keep(_indices(faults), _indices(jobs)), mutant=planted, tracing=True)
        click.echo(outcome.schedule())
        click.echo(f"\n{outcome.executions} commands ran in {outcome.lasted:.0f} virtual seconds")
        if outcome.failed:
            click.echo(f"Violated: {outcome.invariant}\n  {outcome.detail}")
            raise SystemExit(1)
        return
    started, failures = time.perf_counter(), 0
    profiles = ROTATION if profile == "all" else (profile,)
    for number in range(seed, seed + seeds):
        name = profiles[number % len(profiles)]
        outcome = run(make_plan(name, number), mutant=planted)
        if outcome.failed:
            failures += 1
            if not all_failures:
                click.echo(report(outcome, mutant=planted))
                raise SystemExit(1)
            click.echo(f"{name} {number}: {outcome.invariant}: {outcome.detail.splitlines()[0]}")
    took = time.perf_counter() - started
    click.echo(f"{seeds} schedules, {failures} failed, {1000 * took / seeds:.0f} ms each")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
