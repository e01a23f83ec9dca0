"""`master-bridge doctor`: checks broker, network, fleet and this machine."""

from __future__ import annotations

import shlex

import click

from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options


@click.command(cls=OperatorCommand, done="nothing fails; warnings may be there", failed="a check fails")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option(
    "--rabbitmqctl", metavar="COMMAND", help="Also look at settings that only this command tells, e.g. `rabbitmqctl`."
)
@broker_options
def command(where: Where, as_json: bool, rabbitmqctl: str | None) -> None:
    """Check what masters and agents need; exit status 1 when anything fails."""
    from contracts.operations.findings import report, status
    from master_bridge.operating.doctor import ctl_of, examine, examine_office
    from master_bridge.operating.errors import OperatingError

    ctl = ctl_of(shlex.split(rabbitmqctl)) if rabbitmqctl else None
    try:
        if where.is_office:
            findings = examine_office(where.url, where.master_dir, where.tls)
        elif where.management_url is None:
            findings = examine(where.url, where.tls, None, ctl)
        else:
            with where.management() as management:
                findings = examine(where.url, where.tls, management, ctl)
    except OperatingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(report(findings, as_json=as_json))
    click.get_current_context().exit(status(findings))
