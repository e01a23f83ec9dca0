"""`master-bridge put`, `get`, `ls`, `rename`, `copy` and `rm`: files on agents."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contracts.operations.exit_status import ExitStatus
from contracts.readable import shown
from master_bridge.cli.manual import OperatorCommand
from master_bridge.cli.options import Where, broker_options
from master_bridge.cli.run import on_agents, operating, tell_errors

if TYPE_CHECKING:
    from master_bridge.running.answers import AgentResult

_FAILED = "it was not done on an agent, for a reason that is said; or nobody is meant, or the broker cannot be reached"

_force = click.option("--force", is_flag=True, help="Replace a file that is there.")


def _command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    return click.command(name, cls=OperatorCommand, failed=_FAILED)


def _end(results: Sequence[AgentResult]) -> None:
    for result in results:
        for what in result.left_out:
            click.echo(f"{shown(result.agent)}: left out {what}", err=True)
    tell_errors(results)
    if not all(result.is_good for result in results):
        raise SystemExit(ExitStatus.FAILED)


@_command("put")
@click.argument("local", type=click.Path(path_type=Path))
@click.argument("remote")
@click.option("--mode", metavar="OCTAL", help="Permissions of the file there, as 0755. Default: as they are here.")
@_force
@on_agents
@broker_options
def put(
    where: Where,
    local: Path,
    remote: str,
    mode: str | None,
    force: bool,
    on: tuple[str, ...],
    match: tuple[str, ...],
    wait: float,
) -> None:
    """Copy the file or folder LOCAL to each agent that is meant, as REMOTE, or into REMOTE where that is a folder.

    It is there whole or not at all. A folder goes with all that is in it, and replaces nothing.
    """
    permissions = None if mode is None else _mode(mode)
    with operating(ExitStatus.FAILED):
        results = where.fleet().put(local, remote, on=on, match=match, mode=permissions, force=force, wait=wait)
    _end(results)


@_command("get")
@click.argument("remote")
@click.argument("local", type=click.Path(path_type=Path))
@_force
@on_agents
@broker_options
def get(
    where: Where,
    remote: str,
    local: Path,
    force: bool,
    on: tuple[str, ...],
    match: tuple[str, ...],
    wait: float,
) -> None:
    """Copy the file or folder REMOTE of each agent that is meant to LOCAL, or into LOCAL where that is a folder.

    Of several agents LOCAL is a folder, in which each has a folder of its name. Prints the names that they have here.
    Links of a folder that lead out of it are left out, and named on stderr; it replaces nothing.
    """
    with operating(ExitStatus.FAILED):
        results = where.fleet().get(remote, local, on=on, match=match, force=force, wait=wait)
    for result in results:
        if result.path is not None and result.is_good:
            click.echo(str(result.path))
    _end(results)


@_command("ls")
@click.argument("remote", default=".")
@click.option("--json", "as_json", is_flag=True, help="Print an object: agent -> names.")
@on_agents
@broker_options
def ls(where: Where, remote: str, as_json: bool, on: tuple[str, ...], match: tuple[str, ...], wait: float) -> None:
    """List what is in the folder REMOTE of each agent that is meant, or the paths that the pattern REMOTE matches.

    Default: the agent's base directory. In a pattern `*`, `?`, `[…]` and `**` mean what they mean to a shell.
    """
    with operating(ExitStatus.FAILED):
        results = where.fleet().ls(remote, on=on, match=match, wait=wait)
    if as_json:
        click.echo(json.dumps({result.agent: result.names for result in results if result.is_good}))
    else:
        for result in results:
            prefix = f"{shown(result.agent)}: " if len(results) > 1 else ""
            for name in result.names:
                click.echo(prefix + shown(name))
    _end(results)


@_command("rename")
@click.argument("source")
@click.argument("target")
@_force
@on_agents
@broker_options
def rename(
    where: Where, source: str, target: str, force: bool, on: tuple[str, ...], match: tuple[str, ...], wait: float
) -> None:
    """Rename the file or folder SOURCE on each agent that is meant. It goes into TARGET where that is a folder."""
    with operating(ExitStatus.FAILED):
        results = where.fleet().rename(source, target, on=on, match=match, force=force, wait=wait)
    _end(results)


@_command("copy")
@click.argument("source")
@click.argument("target")
@_force
@on_agents
@broker_options
def copy(
    where: Where, source: str, target: str, force: bool, on: tuple[str, ...], match: tuple[str, ...], wait: float
) -> None:
    """Copy the file SOURCE, or a folder with all that is in it, on each agent that is meant.

    It goes into TARGET where that is a folder.
    """
    with operating(ExitStatus.FAILED):
        results = where.fleet().copy(source, target, on=on, match=match, force=force, wait=wait)
    _end(results)


@_command("rm")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--recursive", "-r", is_flag=True, help="Folders, too, with all that is in them.")
@on_agents
@broker_options
def rm(
    where: Where, paths: tuple[str, ...], recursive: bool, on: tuple[str, ...], match: tuple[str, ...], wait: float
) -> None:
    """Remove each file PATH from each agent that is meant. What is not there is an error."""
    with operating(ExitStatus.FAILED):
        results = where.fleet().rm(*paths, on=on, match=match, recursive=recursive, wait=wait)
    _end(results)


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise click.UsageError(f"--mode {text!r}: octal digits, as 0755")
    return mode
