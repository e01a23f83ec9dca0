"""Runs the kit for the command line, and shows what it found."""

from __future__ import annotations

import sys

import click
from pika.exceptions import AMQPError

from conformance.checks import REQUIREMENTS
from conformance.cutting import address_of
from conformance.errors import BadOptions
from conformance.report import Result, line_of
from conformance.run import KitOptions, run_kit


def list_requirements() -> None:
    """`--list`: level, id and sentence of each."""
    for requirement in REQUIREMENTS:
        click.echo(f"{requirement.level:<6}  {requirement.id:<30}  {requirement.text}")


def run(options: KitOptions, *, as_json: bool) -> int:
    """Returns the exit status: 0 conforms, 1 does not; `BadOptions` and connection errors end as usage errors."""

    shown: dict[str, Result] = {}

    def show(result: Result) -> None:
        shown[result.requirement.id] = result
        click.echo(line_of(result), err=as_json)

    try:
        report = run_kit(options, on_result=show)
    except BadOptions as error:
        raise click.UsageError(str(error)) from None
    except (AMQPError, OSError) as error:
        where = address_of(options.url) if options.url else "the end of a stream"
        raise click.ClickException(f"cannot use the broker at {where}: {error or type(error).__name__}") from None
    for result in report.results:  # what was seen in passing is known only now
        if result != shown[result.requirement.id]:
            click.echo(line_of(result), err=as_json)
    click.echo(report.as_json() if as_json else f"\n{report.summary()}")
    sys.stdout.flush()
    return 0 if report.conforms else 1
