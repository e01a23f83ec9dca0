"""`master-bridge dead`: messages that could not be read or placed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import moment, shown, shown_lines
from master_bridge.cli.options import Where, broker_options

if TYPE_CHECKING:
    from master_bridge.operating.deadletters import DeadLetter, Verdict


@click.group()
def command() -> None:
    """List, show, send again or drop the messages in the queue `dead`."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@broker_options
def list_(where: Where, as_json: bool) -> None:
    """Print one line for each message, the oldest first."""
    from rich.console import Console
    from rich.table import Table

    from master_bridge.operating.picture import foreign_text

    letters = _walk(where, (), "keep", everything=True)
    if as_json:
        click.echo(json.dumps([_fields(letter) for letter in letters], indent=2))
        return
    if not letters:
        click.echo("nothing is dead")
        return
    table = Table()
    for column in ("id", "when", "type", "from", "by", "reason"):
        table.add_column(column, overflow="fold")
    for letter in letters:
        at = moment(letter.timestamp or 0)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else ""
        foreign = (letter.type, letter.queue, letter.agent or letter.account, letter.reason)
        table.add_row(letter.id, when, *(foreign_text(text) for text in foreign))
    Console().print(table)


@command.command()
@click.argument("ids", nargs=-1, required=True)
@broker_options
def show(where: Where, ids: tuple[str, ...]) -> None:
    """Print the messages with these IDS, with all that is known of them; the start of an id is enough."""
    for letter in _walk(where, ids, "keep"):
        for name, value in _fields(letter).items():
            click.echo(f"{name}: {shown(value)}")
        click.echo(shown_lines(letter.text()))


@command.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All messages in the queue.")
@broker_options
def requeue(where: Where, ids: tuple[str, ...], everything: bool) -> None:
    """Send the offers with these IDS once more, with the bytes and the signature that they have.

    Agents then ask for a grant before they run anything. The start of an id is enough. Messages of other types are
    not sent again, since who wrote them repeats them without being asked: drop them.
    """
    letters = _walk(where, ids, "requeue", everything=everything)
    left = [letter for letter in letters if everything and letter.offer is None]
    click.echo(f"{len(letters) - len(left)} sent again")
    if left:
        click.echo(f"not sent, for it is no offer: {', '.join(letter.id for letter in left)}", err=True)
        click.get_current_context().exit(ExitStatus.FAILED)


@command.command()
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All messages in the queue.")
@broker_options
def drop(where: Where, ids: tuple[str, ...], everything: bool) -> None:
    """Delete the messages with these IDS for good; the start of an id is enough."""
    click.echo(f"{len(_walk(where, ids, 'drop', everything=everything))} dropped")


def _walk(where: Where, ids: tuple[str, ...], verdict: Verdict, *, everything: bool = False) -> list[DeadLetter]:
    """Those that are meant, after `verdict` was done to them. Ends the program when one that was named is missing."""
    from master_bridge.operating.deadletters import walk

    if not ids and not everything:
        raise click.UsageError("name messages by their id, or give --all")

    def meant(letter: DeadLetter) -> bool:
        return everything or any(letter.id.startswith(each) for each in ids)

    def judge(letter: DeadLetter) -> Verdict:
        if not meant(letter) or (verdict == "requeue" and everything and letter.offer is None):
            return "keep"
        return verdict

    with where.broker("dead") as broker:
        letters = [letter for letter in walk(broker, judge) if meant(letter)]
    missing = [each for each in ids if not any(letter.id.startswith(each) for letter in letters)]
    if missing:
        click.echo(f"not in `dead`: {shown(', '.join(missing))}", err=True)
        click.get_current_context().exit(ExitStatus.FAILED)
    return letters


def _fields(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "type": letter.type,
        "reason": letter.reason,
        "queue": letter.queue,
        "agent": letter.agent,
        "account": letter.account,
        "priority": letter.priority,
        "routing_key": letter.routing_key,
        "timestamp": letter.timestamp,
        "bytes": len(letter.body),
    }
