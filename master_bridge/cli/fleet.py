"""`master-bridge fleet`: which agents there are, what they do, and how full the queues are."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from master_bridge.cli.looking import REFRESH, SORTS, queues_of, requirements_of
from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options
from master_bridge.cli.output import no_live_view, width, write

if TYPE_CHECKING:
    from master_bridge.fleet.lines import Choice


@click.command(cls=OperatorCommand)
@click.option("--sort", type=click.Choice(SORTS), default="agent", show_default=True,
              help="The order of agents, by this column.")  # fmt: skip
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--filter", "text", default="", metavar="WORDS",
              help="Show agents whose line has all of these words, in any column.")  # fmt: skip
@click.option("--match", multiple=True, metavar="REQUIREMENT",
              help="Show agents that satisfy this requirement, as \"gtk>=3\"; repeatable.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show all capabilities, not only those that queues ask for.")
@click.option("--group", is_flag=True, help="Group agents by the columns that they serve.")
@click.option(
    "--watch/--once", "watch", default=None,
    help="Show it as it changes, until q or Ctrl-C, or print it once. Default: watch on a terminal.",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs: one object; with --watch one object a line."
)
@click.option("--no-queues", is_flag=True, help="Do not ask the broker for its queues.")
@broker_options
def command(
    where: Where,
    sort: str,
    reverse: bool,
    text: str,
    match: tuple[str, ...],
    everything: bool,
    group: bool,
    watch: bool | None,
    as_json: bool,
    no_queues: bool,
) -> None:
    """Show the agents, one line each, after a summary; then columns and queues.

    On a terminal it goes on until q, and has keys to scroll, sort and filter. Elsewhere it is plain text: nothing is
    cut, and each line has all columns, with "-" where there is nothing. The JSON is described by
    docs/reference/master-bridge-fleet.schema.json.
    """
    from master_bridge.fleet.lines import Choice

    why_not = no_live_view()
    if watch and not as_json and why_not is not None:
        raise click.UsageError(f"--watch: no live view, for {why_not}; give --once, or --json for programs")
    choice = Choice(
        sort=sort, reverse=reverse, text=text, requirements=requirements_of(match), all_capabilities=everything,
        grouped=group,
    )  # fmt: skip
    if as_json:
        _print_json(where, choice, watch=bool(watch), no_queues=no_queues)
    elif watch is not False and why_not is None:
        from master_bridge.cli.live import watch_fleet

        watch_fleet(where, choice, queues=not no_queues)
    else:
        _print_once(where, choice, no_queues=no_queues)


def _print_once(where: Where, choice: Choice, *, no_queues: bool) -> None:
    from master_bridge.operating.picture import Picture, draw
    from master_bridge.operating.survey import Survey

    with where.broker("fleet") as broker:
        survey = Survey(broker).open().gather(masters=True)
        picture = Picture.of(survey, [] if no_queues else queues_of(where, broker, survey), now=time.time())
    write(draw(picture, choice, width()))


def _print_json(where: Where, choice: Choice, *, watch: bool, no_queues: bool) -> None:
    from master_bridge.operating.picture import Picture
    from master_bridge.operating.survey import Survey

    with where.broker("fleet") as broker:
        survey = Survey(broker).open().gather(masters=True)
        while True:
            figures = [] if no_queues else queues_of(where, broker, survey)
            report = Picture.of(survey, figures, now=time.time()).report(choice)
            click.echo(json.dumps(report.model_dump(mode="json"), indent=None if watch else 2))  # ASCII: no escapes
            if not watch:
                return
            try:
                survey.listen(REFRESH)
            except KeyboardInterrupt:
                return
