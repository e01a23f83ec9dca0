"""`master-bridge serve-agent` and `reach`: agents that come to the master by ssh, and those that it reaches by ssh."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import click

from master_bridge.cli.manual import OperatorCommand


@click.command("serve-agent", cls=OperatorCommand, failed="no master runs there, or it uses a broker")
@click.option("--master-dir", required=True, type=click.Path(path_type=Path), metavar="FOLDER",
              help="The master's folder.")  # fmt: skip
@click.option("--account", required=True, metavar="NAME", help="Whose connection this is.")
def serve_agent(master_dir: Path, account: str) -> None:
    """Join standard input and output to the master in FOLDER, as the connection of account NAME.

    For `command="…"` in authorized_keys: `master-bridge enroll NAME --ssh-key FILE` prints the whole line. What the
    agent's ssh asks for is not looked at.
    """
    from master_bridge.ssh.serving import serve  # as `master_bridge.program` does without all that is imported here

    serve(master_dir, account)


@click.command(cls=OperatorCommand, failed="a host cannot be reached so, or a file is wrong", done="told to end")
@click.argument("hosts", nargs=-1, required=True, metavar="HOST")
@click.option("--master-dir", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              metavar="FOLDER", help="The master's folder; it runs as this user.")  # fmt: skip
@click.option("--install", "wheels", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
              help="First install the agent there, in the user's home, from the wheels in this folder: "
              "`pip wheel './buildbot-amqp[worker]' -w FOLDER` makes them.")  # fmt: skip
def reach(hosts: tuple[str, ...], master_dir: Path, wheels: Path | None) -> None:
    """Reach each HOST by ssh, start an agent there, and keep it connected to the master in FOLDER.

    HOST is [USER@]HOST[:PORT] as ssh knows it, and the name of the agent's account, which `master-bridge enroll HOST
    --reached` makes. Runs until SIGTERM. An agent outlives its connection: what runs there runs on, and is taken up
    again.
    """
    import asyncio

    from master_bridge.operating.errors import OperatingError
    from master_bridge.ssh.reaching import SSHDestination
    from master_bridge.ssh.reaching import reach as reach_all

    try:
        destinations = [SSHDestination(host) for host in hosts]
        if len({destination.account for destination in destinations}) < len(destinations):
            raise OperatingError("one host is named twice")
    except OperatingError as error:
        raise click.UsageError(str(error)) from None

    async def until_told() -> None:
        reaching = asyncio.ensure_future(reach_all(master_dir, destinations, lambda line: click.echo(line), wheels))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, reaching.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await reaching

    asyncio.run(until_told())
