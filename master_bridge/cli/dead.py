"""`master-bridge dead`: messages that could not be read or placed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import moment, shown, shown_lines
from master_bridge.cli.manual import FAILED, OperatorCommand, OperatorGroup
from master_bridge.cli.options import Where, broker_options
from master_bridge.cli.output import width, write

if TYPE_CHECKING:
    from master_bridge.operating.deadletters import DeadMessage, Verdict


_MISSING = f"a message that was named is not there; or {FAILED}"


@click.group(cls=OperatorGroup)
def command() -> None:
    """List, show, send again or drop the messages in the queue `dead`."""


@command.command("list", cls=OperatorCommand)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@broker_options
def list_(where: Where, as_json: bool) -> None:
    """Print one line for each message, the oldest first."""
    from master_bridge.fleet.tables import TableColumn, plain

    messages = _walk(where, (), "keep", everything=True)
    if as_json:
        click.echo(json.dumps([_fields(message) for message in messages], indent=2))
        return
    if not messages:
        click.echo("nothing is dead")
        return
    columns = [TableColumn(title=title, least=8) for title in ("id", "when", "type", "from", "by", "reason")]
    rows = []
    for message in messages:
        at = moment(message.timestamp or 0)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else ""
        foreign = (message.type, message.queue, message.agent or message.account, message.reason)
        rows.append((message.id, when, *(shown(text) for text in foreign)))
    write(plain(columns, rows, width()))


@command.command(cls=OperatorCommand, failed=_MISSING)
@click.argument("ids", nargs=-1, required=True)
@broker_options
def show(where: Where, ids: tuple[str, ...]) -> None:
    """Print the messages with these IDS, with all that is known of them; the start of an id is enough."""
    for message in _walk(where, ids, "keep"):
        for name, value in _fields(message).items():
            click.echo(f"{name}: {shown(value)}")
        click.echo(shown_lines(message.text()))


@command.command(cls=OperatorCommand, failed=f"a message was not sent, for it is no offer; {_MISSING}")
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All messages in the queue.")
@broker_options
def requeue(where: Where, ids: tuple[str, ...], everything: bool) -> None:
    """Send the offers with these IDS once more, with the bytes and the signature that they have.

    Agents then ask for a grant before they run anything. The start of an id is enough. Messages of other types are
    not sent again, since who wrote them repeats them without being asked: drop them.
    """
    messages = _walk(where, ids, "requeue", everything=everything)
    left = [message for message in messages if everything and message.offer is None]
    click.echo(f"{len(messages) - len(left)} sent again")
    if left:
        click.echo(f"not sent, for it is no offer: {', '.join(message.id for message in left)}", err=True)
        click.get_current_context().exit(ExitStatus.FAILED)


@command.command(cls=OperatorCommand, failed=_MISSING)
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All messages in the queue.")
@broker_options
def drop(where: Where, ids: tuple[str, ...], everything: bool) -> None:
    """Delete the messages with these IDS for good; the start of an id is enough."""
    click.echo(f"{len(_walk(where, ids, 'drop', everything=everything))} dropped")


def _walk(where: Where, ids: tuple[str, ...], verdict: Verdict, *, everything: bool = False) -> list[DeadMessage]:
    """Those that are meant, after `verdict` was done to them. Ends the program when one that was named is missing."""
    if not ids and not everything:
        raise click.UsageError("name messages by their id, or give --all")

    def meant(message: DeadMessage) -> bool:
        return everything or any(message.id.startswith(each) for each in ids)

    def judge(message: DeadMessage) -> Verdict:
        if not meant(message) or (verdict == "requeue" and everything and message.offer is None):
            return "keep"
        return verdict

    with where.broker("dead") as link:
        messages = [message for message in link.walk_dead(judge) if meant(message)]
    missing = [each for each in ids if not any(message.id.startswith(each) for message in messages)]
    if missing:
        click.echo(f"not in `dead`: {shown(', '.join(missing))}", err=True)
        click.get_current_context().exit(ExitStatus.FAILED)
    return messages


def _fields(message: DeadMessage) -> dict[str, object]:
    return {
        "id": message.id,
        "type": message.type,
        "reason": message.reason,
        "queue": message.queue,
        "agent": message.agent,
        "account": message.account,
        "priority": message.priority,
        "routing_key": message.routing_key,
        "timestamp": message.timestamp,
        "bytes": len(message.body),
    }
