"""`python -m tests.mutation --minutes 60 [NAME…]`. Exit status 1: a test is missing, or an explanation is old."""

from __future__ import annotations

import subprocess
import sys

import click

from tests.harness.tree import ROOT
from tests.mutation.cache import begin_anew_after_changes
from tests.mutation.mutants import changes, statuses
from tests.mutation.survivors import EXPLAINED, SURVIVED, explained, judge

#: What mutmut says.
LOG = ROOT / "build" / "mutation.log"


@click.command()
@click.option(
    "--minutes", type=float, default=60.0, show_default=True, help="Stop after so long; the next run goes on."
)
@click.argument("names", nargs=-1)
def main(minutes: float, names: tuple[str, ...]) -> None:
    """Change the code in small ways, and run the tests of what was changed; NAMES may have *."""
    known = explained(EXPLAINED.read_text(encoding="utf-8"))
    program = ("nice", "-n", "15", sys.executable, "-m", "tests.mutation.mutants")
    run = (*program, "run", "--max-children", "1", *names)
    LOG.parent.mkdir(exist_ok=True)
    begin_anew_after_changes(ROOT)
    try:
        with LOG.open("wb") as told:
            subprocess.run(run, cwd=ROOT, timeout=minutes * 60, check=True, stdout=told, stderr=told)
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"mutmut ended with status {error.returncode}: see {LOG}") from None
    except subprocess.TimeoutExpired:
        click.echo(f"stopped after {minutes:g} minutes: the next run goes on", err=True)
    verdict = judge(statuses(), changes([SURVIVED]), known)
    for line in verdict.lines():
        click.echo(line)
    sys.exit(1 if verdict.new or verdict.unrun or verdict.killed_since else 0)


if __name__ == "__main__":
    main()
