"""`master-bridge pipeline`: lines of a pipeline looked at before a master does."""

from __future__ import annotations

from typing import IO

import click

from contracts.operations.exit_status import ExitStatus
from contracts.operations.manual import ManualGroup
from contracts.readable import shown
from master_bridge.cli.manual import OK, WRONG, OperatorCommand, exit_status

#: Characters of what is told of one line.
TOLD_MAX = 4000


@click.group(cls=ManualGroup, sections=[exit_status({0: OK, ExitStatus.FAILED: "as each command says", 2: WRONG})])
def command() -> None:
    """Look at pipelines on your own machine: no master, no broker."""


@command.command(cls=OperatorCommand, failed="a line cannot be taken")
@click.argument("file", type=click.File(encoding="utf-8", errors="surrogateescape"))
@click.option(
    "--allow", metavar="TYPES", help="As the step's `allow`: types of lines, with commas between. Default: all."
)
@click.option("--may-require", "may_require", metavar="NAMES",
              help="As the step's `may_require`: capabilities, with commas between. Default: all.")  # fmt: skip
@click.option("--schedulers", metavar="NAMES",
              help="As the step's `schedulers`, with commas between. Default: any.")  # fmt: skip
def check(file: IO[str], allow: str | None, may_require: str | None, schedulers: str | None) -> None:
    """Check what a program said: FILE holds its lines; "-" reads standard input.

    Run the program with BUILDBOT_PIPELINE set to a file of yours, then check that file. The step on the master says the
    same of each line.
    """
    from contracts.pipeline.checking import check as check_lines
    from contracts.pipeline.lines import MODELS

    types = _names(allow)
    for name in types or ():
        if name not in MODELS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(MODELS)}", param_hint="--allow")
    checked = check_lines(file, types=types, requirements=_required(may_require), schedulers=_names(schedulers))
    for problem in checked.problems:
        click.echo(shown(problem, TOLD_MAX), err=True)
    click.echo(f"{checked.lines} lines, {checked.steps} steps, {len(checked.problems)} problems")
    if checked.problems:
        click.get_current_context().exit(ExitStatus.FAILED)


@command.command(cls=OperatorCommand)
def schema() -> None:
    """Print the JSON Schema of a line."""
    from contracts.pipeline.schema import text

    click.echo(text(), nl=False)


def _required(text: str | None) -> frozenset[str] | None:
    names = _names(text)
    return None if names is None or "*" in names else names


def _names(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(name.strip() for name in text.split(",") if name.strip())
