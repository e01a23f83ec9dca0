"""`master-bridge why BUILD`: for what it waits, and who could take it."""

from __future__ import annotations

import time

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import shown
from master_bridge.cli.manual import FAILED, OperatorCommand
from master_bridge.cli.options import Where, broker_options

#: Characters of a line, which may name several agents.
LINE_MAX = 4000


@click.command(cls=OperatorCommand, failed=f"no master knows this build; or {FAILED}")
@click.argument("build")
@broker_options
def command(where: Where, build: str) -> None:
    """Say why BUILD waits, or where it runs.

    BUILD is a builder and number ("linux-gtk #17"), a part of that, or a build request ("br-17", "17").
    """
    from contracts import topology
    from master_bridge.operating.survey import Survey
    from master_bridge.operating.why import WAITING, explain, find, place_in_line

    with where.broker("why") as broker:
        survey = Survey(broker).open().gather(masters=True)
        found = find(survey.works, build)
        if not found:
            masters = shown(", ".join(sorted(survey.masters))) or "none is alive"
            click.echo(f"no master looks for an agent for {build!r} or has one (masters: {masters})", err=True)
            click.get_current_context().exit(ExitStatus.FAILED)
        for number, each in enumerate(found):
            if number:
                click.echo()
            queue = broker.queue(topology.cap_queue(each[1].signature or "any"))
            place = place_in_line(survey.works, each) if each[1].state in WAITING else None
            lines = explain(each, survey.agents, queue, time.time(), place)
            click.echo("\n".join(shown(line, LINE_MAX) for line in lines))
