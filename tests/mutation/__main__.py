"""`python -m tests.mutation --minutes 60 [NAME…]`. Exit status 1: a test is missing, or an explanation is old."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import click

from tests.harness.tree import ROOT
from tests.mutation.cache import begin_anew_after_changes
from tests.mutation.mutants import MUTANTS, Results, changes, make
from tests.mutation.survivors import EXPLAINED, SURVIVED, explained, judge

#: What pytest says, and which test fails before anything is changed.
LOG = ROOT / "build" / "mutation.log"
#: Results are written to disk when there are so many new ones.
SAVED_EVERY = 100


@click.command()
@click.option(
    "--minutes", type=float, default=60.0, show_default=True, help="Stop after so long; the next run goes on."
)
@click.option("--jobs", type=int, default=2, show_default=True, help="Changes that are tried at once.")
@click.argument("names", nargs=-1)
def main(minutes: float, jobs: int, names: tuple[str, ...]) -> None:
    """Change the code in small ways, and run the tests of what was changed; NAMES may have *."""
    known = explained(EXPLAINED.read_text(encoding="utf-8"))
    begin_anew_after_changes(ROOT)
    make(jobs)
    results = Results()
    untried = results.untried(names, known)
    if untried:
        _try(untried, results, jobs, minutes * 60)
    verdict = judge(results.statuses(), changes(results.statuses(), [SURVIVED]), known)
    for line in verdict.lines():
        click.echo(line)
    sys.exit(1 if verdict.new or verdict.unrun or verdict.killed_since else 0)


def _try(untried: Sequence[str], results: Results, jobs: int, seconds: float) -> None:
    """Trials run below `mutants/`, where modules and tests are imported from."""
    program = (sys.executable, "-m", "tests.mutation.trials", str(jobs))
    LOG.parent.mkdir(exist_ok=True)
    with (
        LOG.open("wb") as told,
        subprocess.Popen(
            program, cwd=MUTANTS, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=told
        ) as trials,
    ):
        assert trials.stdin is not None
        assert trials.stdout is not None
        ends = time.monotonic() + seconds
        timer = threading.Timer(seconds, trials.terminate)
        timer.start()
        try:
            json.dump(untried, trials.stdin)
            trials.stdin.close()
            for number, line in enumerate(trials.stdout, 1):
                results.record(*json.loads(line))
                if number % SAVED_EVERY == 0:
                    results.save()
        finally:
            timer.cancel()
            results.save()
        status = trials.wait()
    if time.monotonic() > ends:
        click.echo(f"stopped after {seconds / 60:g} minutes: the next run goes on", err=True)
    elif status != 0:
        raise click.ClickException(f"trials ended with status {status}: see {LOG}")


if __name__ == "__main__":
    main()
