"""`master-bridge migrate`: queues with other arguments than this version's are made anew, and keep their messages."""

from __future__ import annotations

from typing import Literal

import click

from contracts.operations.exit_status import ExitStatus
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES
from master_bridge.cli.manual import FAILED, OperatorCommand
from master_bridge.cli.options import Where, broker_options


@click.command(cls=OperatorCommand, failed=f"a queue was left as it was; or {FAILED}")
@click.option("--queue-type", type=click.Choice(["classic", "quorum"]), default="classic", show_default=True,
              help="As AMQPBroker's `queue_type`.")  # fmt: skip
@click.option("--events-max-bytes", default=EVENTS_MAX_BYTES, show_default=True, metavar="BYTES",
              help="As AMQPBroker's `events_max_bytes`.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what differs.")
@broker_options
def command(where: Where, queue_type: Literal["classic", "quorum"], events_max_bytes: int, dry_run: bool) -> None:
    """Make queues anew whose arguments differ from what this version declares. No message is lost.

    Needs --management-url. Queues in use are left alone: drain the agents for cap.* queues, stop a master for its own.
    """
    from master_bridge.operating.errors import OperatingError
    from master_bridge.operating.migration import TEMPORARY, differs, migrate, wanted

    left = False
    with where.rabbitmq("migrate") as broker, where.management() as management:
        queues = {queue.name: queue for queue in wanted(management, broker, queue_type, events_max_bytes)}
        for queue in queues.values():
            how = differs(broker, queue)
            stopped = broker.queue(TEMPORARY + queue.name) is not None
            if how is None and not stopped:
                continue
            click.echo(how or f"{queue.name}: a migration was interrupted")
            if dry_run:
                continue
            try:
                click.echo(f"{queue.name}: made anew with {migrate(broker, management, queue)} messages")
            except OperatingError as error:
                left = True
                click.echo(str(error), err=True)
    if left:
        click.get_current_context().exit(ExitStatus.FAILED)
