"""`master-bridge move`: agents go to another place, with what they run."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from contracts.operations.amqp_url import has_password
from contracts.operations.exit_status import ExitStatus
from contracts.readable import shown, shown_lines
from master_bridge.cli.manual import FAILED, OperatorCommand
from master_bridge.cli.options import Where, WrongUse, broker_options, of_settings, url_of
from master_bridge.cli.settings import Given, Rank, WrongSetting, load
from master_bridge.link.settings import TLSSettings

_NOT_ALL = f"an agent has not moved, or cannot; or {FAILED}"


@click.command(cls=OperatorCommand, failed=_NOT_ALL)
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@click.option("--match", multiple=True, metavar="REQUIREMENT",
              help="All agents that satisfy this requirement; repeatable; `any`: every agent.")  # fmt: skip
@click.option("--accounts", required=True, metavar="FOLDER",
              type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder with a file for each account of these agents, NAME.toml, as `enroll` writes it for the new "
              "place.")  # fmt: skip
@click.option("--to", required=True, metavar="WHERE",
              help="The new place, as an operator comes there: a URL, a file that holds one, the folder of a master on "
              "this machine, or a configuration file of master-bridge (*.toml).")  # fmt: skip
@click.option("--wait", default=60.0, show_default=True, metavar="SECONDS",
              help="Wait so long until they are heard there.")  # fmt: skip
@broker_options
def command(
    where: Where, agents: tuple[str, ...], match: tuple[str, ...], accounts: Path, to: str, wait: float
) -> None:
    """Tell each AGENT to go to another place where its masters are as well. What it runs goes on.

    An agent logs in there first and stays where it is if that fails. How a whole fleet moves, with its master:
    docs/how-to/moving.md.
    """
    from master_bridge.operating.moving import move
    from master_bridge.operating.selection import select
    from master_bridge.operating.survey import Survey

    with where.broker("move") as here, _place(to, where).broker("move") as there:
        old, new = Survey(here).open(), Survey(there).open()
        new.ask()
        old.gather(masters=True)
        new.gather(masters=True)
        chosen = select(old.agents, agents, match)
        done = move(old, new, chosen, accounts, wait)
    for agent in done.moved:
        click.echo(f"{shown(agent.agent)}: has moved")
    for agent in done.missed:
        click.echo(f"{shown(agent.agent)}: is not connected any more", err=True)
    for agent in done.unable:
        click.echo(
            f"{shown(agent.agent)}: cannot be told (it is older than this command, or lacks the extra 'signing'): give "
            "it the new URL and restart it; what it runs goes on",
            err=True,
        )
    for agent in done.late:
        click.echo(
            f"{shown(agent.agent)}: was not heard there within {wait:g} s; where it could not log in it stays where it "
            "is, and its log says why (move_failed)",
            err=True,
        )
    if not chosen:
        click.echo("no agent here satisfies that", err=True)
    if len(done.moved) < len(chosen) or not chosen:
        click.get_current_context().exit(ExitStatus.FAILED)


def _place(to: str, here: Where) -> Where:
    """Wrong use names `--to`."""
    nothing = TLSSettings()
    if "://" in to:
        if has_password(to):
            click.echo(
                "warning: the password in --to can be read by every user of this machine while the command runs: name "
                "a file that holds the URL",
                err=True,
            )
        return Where(url=to, tls=nothing, signing_key=here.signing_key)
    path = Path(to)
    if path.is_dir():
        return Where(url="", tls=nothing, master_dir=path, signing_key=here.signing_key)
    try:
        if path.suffix == ".toml":
            settings = load({}, path)
        else:
            settings = load({"amqp_url_file": Given(path, Rank.OPTION, "--to")}, Path(os.devnull))
        return replace(of_settings(settings, url_of(settings)), signing_key=here.signing_key)
    except WrongSetting as error:
        raise WrongUse(shown_lines(str(error))) from None
