"""What both ways to show the fleet share: printed once, and live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from contracts.readable import shown
from master_bridge.cli.options import Where
from master_bridge.link.settings import parse_url

if TYPE_CHECKING:
    from contracts.requirements.sets import Requirements
    from master_bridge.operating.port import OperatorsLink, QueueFigures
    from master_bridge.operating.survey import Survey

#: Seconds between two pictures.
REFRESH = 2.0
#: `master_bridge.fleet.lines.SORTS`, which a test compares: its imports would make each `--help` slower.
SORTS = ("agent", "state", "runs", "for", "slots", "version", "up")


def requirements_of(texts: tuple[str, ...]) -> Requirements | None:
    """None: nothing is required. Raises a usage error."""
    from contracts.errors import BadRequirement
    from contracts.requirements.sets import Requirements

    wanted = [each.strip() for text in texts for each in text.split(",") if each.strip()]
    if not wanted or wanted == ["any"]:
        return None
    try:
        return Requirements.of(wanted)
    except BadRequirement as error:
        raise click.UsageError(f"--match: {shown(error)}") from None


def queues_of(where: Where, link: OperatorsLink, survey: Survey) -> list[QueueFigures]:
    """From the management API, where there is one."""
    from master_bridge.operating.queues import queues

    if where.management_url is None or where.is_office:
        return queues(link, survey)
    with where.management() as management:
        return queues(link, survey, management, vhost=parse_url(where.url).vhost)
