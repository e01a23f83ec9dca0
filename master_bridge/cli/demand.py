"""`master-bridge demand`: how many slots each column wants."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click

from contracts.errors import BadRequirement
from contracts.readable import duration, shown
from contracts.requirements.sets import Requirements
from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options
from master_bridge.cli.output import width, write


@click.command(cls=OperatorCommand)
@click.argument("column", nargs=-1, metavar="[REQUIREMENT]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@broker_options
def command(where: Where, column: tuple[str, ...], as_json: bool) -> None:
    """Print how many slots each column of all masters wants now: what runs and what waits.

    That is the number that a scaler needs. Each REQUIREMENT is one of one column's, as in 'gtk>=3' python2.3: then the
    number of that column alone is printed, 0 where nobody asks for it.
    """
    from master_bridge.fleet.tables import TableColumn, plain
    from master_bridge.operating.demand import demands, left_out
    from master_bridge.operating.survey import Survey

    try:
        only = Requirements.of(column).signature if column else None
    except BadRequirement as error:
        raise click.BadParameter(shown(str(error))) from None
    with where.broker("demand") as broker:
        survey = Survey(broker).open().gather(masters=True)
    found = [each for each in demands(survey, time.time()) if only in (None, each.column)]
    if more := left_out(survey):
        click.echo(f"warning: {more} requests more wait or run, of which masters do not tell one by one", err=True)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
    elif only is not None:
        click.echo(sum(each.slots for each in found))
    else:
        titles = ("wanted", "waiting", "running", "oldest wait", "agents", "busy", "free")
        columns = [TableColumn(title=title, least=len(title), right=True) for title in titles]
        rows = []
        for each in found:
            waits = duration(each.oldest_wait) if each.waiting else ""
            numbers = (each.slots, each.waiting, each.running, waits, each.agents, each.busy, each.free)
            rows.append((shown(each.column), *map(str, numbers)))
        write(plain([TableColumn(title="column", least=12), *columns], rows, width()))
