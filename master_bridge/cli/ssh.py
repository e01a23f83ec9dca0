"""`master-bridge serve-agent`: what sshd runs on the master's machine for an agent's key."""

from __future__ import annotations

import os
from pathlib import Path

import click

from contracts.operations.exit_status import ExitStatus
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
    from contracts.operations.stdio_relay import relay
    from master_bridge.link.office.local_socket import NoMaster, join

    origin = os.environ.get("SSH_CONNECTION", "").split()
    try:
        line = join(master_dir, account, origin[0] if origin else "this-machine")
    except NoMaster as error:
        click.echo(f"master-bridge: {error}", err=True)
        click.get_current_context().exit(ExitStatus.FAILED)
    relay(line)
    os._exit(0)  # a thread may wait for a peer that reads no more
