"""`master-bridge queues`: how full they are and who consumes them."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from master_bridge.cli.looking import queues_of
from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options
from master_bridge.cli.output import width, write


@click.command(cls=OperatorCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@broker_options
def command(where: Where, as_json: bool) -> None:
    """Show the queues with what waits in them and how many consume them.

    A busy agent is handed nothing, whether it is counted as a consumer (its consumers wait for its end) or not (it has
    cancelled them). So 0 consumers of a cap.* queue may mean that all are at work.
    """
    from master_bridge.operating.picture import queue_lines
    from master_bridge.operating.survey import Survey

    with where.broker("queues") as link:
        survey = Survey(link)
        if where.management_url is None and not where.is_office:
            survey.open().gather(masters=True)  # it tells of which queues to ask
        found = queues_of(where, link, survey)
    if as_json:
        click.echo(json.dumps([asdict(queue) for queue in found], indent=2))
    else:
        write(queue_lines(found, width()))
