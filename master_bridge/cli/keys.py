"""`master-bridge keygen`, `trial-certificates` and `trial-fleet`: what signatures, TLS and a first fleet need."""

from __future__ import annotations

from pathlib import Path

import click

from master_bridge.cli.manual import OperatorCommand


@click.command(cls=OperatorCommand, failed="a file cannot be written, or is there already")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def keygen(file: Path) -> None:
    """Make a signing key: FILE for the master (AMQPBroker's signing_key), FILE.pub for all agents (--trusted-key)."""
    from contracts.trust.signing import BadKey, generate

    try:
        name = generate(file)
    except BadKey as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"key {name}: {file} is secret, {file}.pub is for the agents")


@click.command(cls=OperatorCommand, failed="a file cannot be written, or is there already")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", "hosts", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
              help="Name or address by which the broker is reached; repeatable.")  # fmt: skip
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME",
    help="Also make a client certificate of this name; repeatable.",
)
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


@click.command(cls=OperatorCommand, failed="a file cannot be written, or is there already")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", "hosts", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
              help="Name or address by which the broker is reached, the first one in URLs; repeatable.")  # fmt: skip
@click.option("--master", default="m1", show_default=True, metavar="NAME", help="AMQPBroker's `master`.")
@click.option("--worker", "workers", multiple=True, default=("worker",), show_default=True, metavar="NAME",
              help="A worker's account; repeatable.")  # fmt: skip
@click.option("--mounted", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where each of them finds its own folder, when that is mounted elsewhere.")  # fmt: skip
def trial_fleet(
    folder: Path, hosts: tuple[str, ...], master: str, workers: tuple[str, ...], mounted: Path | None
) -> None:
    """Make all that a secure trial needs: a CA, the broker's certificate and settings, accounts, a signing key.

    FOLDER gets one folder for each who reads it: broker, master, operator, and one a worker. Run again, it changes
    nothing.
    """
    from contracts.errors import ContractError
    from contracts.topology import check_name
    from contracts.trust.signing import BadKey
    from master_bridge.operating.errors import OperatingError
    from master_bridge.operating.trial import check_names, make_trial

    try:
        check_name(master, "--master")
        for worker in workers:
            check_name(worker, "--worker")
        check_names(workers)
        made = make_trial(folder, hosts=hosts, master=master, workers=workers, mounted=mounted)
    except ContractError as error:
        raise click.UsageError(str(error)) from None
    except (OperatingError, BadKey) as error:
        raise click.ClickException(str(error)) from None
    readers = ", ".join(("broker", "master", "operator", *workers))
    click.echo(f"{folder}: {'made for' if made else 'is there already, for'} {readers}")
