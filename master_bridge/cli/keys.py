"""`master-bridge keygen` and `trial-certificates`: what signatures and TLS need."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen(file: Path) -> None:
    """Make a signing key: FILE for the master (AMQPBroker's signing_key), FILE.pub for all agents (--trusted-key)."""
    from contracts.signing import BadKey, generate

    try:
        name = generate(file)
    except BadKey as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"key {name}: {file} is secret, {file}.pub is for the agents")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", "hosts", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
              help="Name or address by which the broker is reached; repeatable.")  # fmt: skip
@click.option("--client", "clients", multiple=True, metavar="NAME", help="Also a client certificate; repeatable.")
@click.option("--require-client", is_flag=True, help="The broker lets nobody in without one.")
def trial_certificates(folder: Path, hosts: tuple[str, ...], clients: tuple[str, ...], require_client: bool) -> None:
    """Make a CA, the broker's certificate and clients' in FOLDER, and print the broker's settings."""
    from master_bridge.operating.certificates import broker_settings, make
    from master_bridge.operating.errors import OperatingError

    try:
        made = make(folder.resolve(), hosts, clients)
    except OperatingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"# {folder}: ca.pem is for everybody, the others for whom they are named after. rabbitmq.conf:")
    for key, value in broker_settings(made, require_client=require_client).items():
        click.echo(f"{key} = {value}")
