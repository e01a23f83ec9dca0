"""`master-bridge fleet`: which agents there are, what they do, and how full the queues are."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options

#: Seconds between two pictures.
REFRESH = 2.0


@click.command(cls=OperatorCommand)
@click.option(
    "--watch/--once", "watch", default=None, help="Refresh until Ctrl-C, or print once. Default: refresh on a terminal."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs: one object; with --watch one object a line."
)
@click.option("--no-queues", is_flag=True, help="Show agents only.")
@broker_options
def command(where: Where, watch: bool | None, as_json: bool, no_queues: bool) -> None:
    """Show agents, their slots, what runs in them since when, and the queues."""
    from rich.console import Console
    from rich.live import Live

    from master_bridge.operating.picture import Picture, draw
    from master_bridge.operating.queues import queues
    from master_bridge.operating.survey import Survey

    console = Console()
    watch = (console.is_terminal and not as_json) if watch is None else watch
    with where.broker("fleet") as broker:
        survey = Survey(broker).open().gather(masters=True)

        def picture() -> Picture:
            figures = [] if no_queues else _with_management(where, broker, survey, queues)
            return Picture.of(survey, figures, now=time.time())

        if as_json:
            while True:
                click.echo(json.dumps(picture().fields(), indent=None if watch else 2))
                if not watch:
                    return
                survey.listen(REFRESH)
        elif not watch:
            console.print(draw(picture()))
        else:
            try:
                with Live(draw(picture()), console=console, screen=True, auto_refresh=False) as live:
                    while True:
                        survey.listen(REFRESH)
                        live.update(draw(picture()), refresh=True)
            except KeyboardInterrupt:
                return


def _with_management(where: Where, broker: Any, survey: Any, queues: Any) -> Any:
    if where.management_url is None:
        return queues(broker, survey)
    with where.management() as management:
        return queues(broker, survey, management)
