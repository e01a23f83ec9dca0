"""`python -m tests.mutation --minutes 60 [NAME…]`. Exit status 1: a test is missing, or an explanation is old."""

from __future__ import annotations

import subprocess
import sys

import click

from tests.harness.tree import ROOT
from tests.mutation.survivors import EXPLAINED, SURVIVED, change_of, explained, judge, results

_MUTMUT = (sys.executable, "-m", "mutmut")


def _mutmut(*arguments: str) -> str:
    return subprocess.run([*_MUTMUT, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


@click.command()
@click.option(
    "--minutes", type=float, default=60.0, show_default=True, help="Stop after so long; the next run goes on."
)
@click.argument("names", nargs=-1)
def main(minutes: float, names: tuple[str, ...]) -> None:
    """Change the code in small ways, and run the tests of what was changed; NAMES may have *."""
    known = explained(EXPLAINED.read_text(encoding="utf-8"))
    try:
        subprocess.run(
            ["nice", "-n", "19", *_MUTMUT, "run", "--max-children", "1", *names],
            cwd=ROOT, timeout=minutes * 60, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        click.echo(f"stopped after {minutes:g} minutes: the next run goes on", err=True)
    statuses = results(_mutmut("results", "--all", "true"))
    survivors = [change_of(name, _mutmut("show", name)) for name, status in statuses.items() if status == SURVIVED]
    verdict = judge(statuses, survivors, known)
    for line in verdict.lines():
        click.echo(line)
    sys.exit(1 if verdict.new or verdict.killed_since else 0)


if __name__ == "__main__":
    main()
