"""`master-bridge enroll` and `revoke`: accounts of workers, masters and operators at the broker."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from master_bridge.cli.manual import FAILED, OperatorCommand
from master_bridge.cli.options import Where, broker_options
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import parse_url

if TYPE_CHECKING:
    from master_bridge.management.accounts import Accounts

_CTL = click.option("--rabbitmqctl", metavar="COMMAND", help="Use this instead of the management API, e.g. "
                    "`rabbitmqctl`, `ssh root@broker rabbitmqctl`, `docker exec broker rabbitmqctl`.")  # fmt: skip


@click.command(cls=OperatorCommand, failed=f"the account or the file is there already; or {FAILED}")
@click.argument("name")
@click.option("--allow", multiple=True, metavar="SIGNATURE",
              help="A queue that a worker may take work from, as \"gtk>=3\"; repeatable. Default: all.")  # fmt: skip
@click.option("--as", "role", type=click.Choice(["worker", "master", "operator"]), default="worker", show_default=True,
              help="The role, which decides the permissions: an agent's machine, a master, or a person.")  # fmt: skip
@click.option("--master", metavar="NAME", help="With --as master: AMQPBroker's `master`. Default: NAME.")
@click.option("--broker-url", metavar="URL", help="Where the account's owner finds the broker, without user and "
              "password: amqps://host/vhost. Default: as --amqp-url.")  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="The new file with the password. Default: NAME.toml or NAME.url here.")  # fmt: skip
@click.option("--worker-ca", metavar="FILE", help="Where the worker's machine has the file of its setting tls_ca.")
@click.option("--worker-cert", metavar="FILE", help="Where it has the file of its setting tls_cert.")
@click.option(
    "--trusted-key", multiple=True, metavar="FILE", help="Where it has the file of its setting trusted_key; repeatable."
)
@click.option("--renew", is_flag=True, help="The account is there: a new password and these permissions for it.")
@_CTL
@broker_options
def enroll(
    where: Where,
    name: str,
    allow: tuple[str, ...],
    role: str,
    master: str | None,
    broker_url: str | None,
    output: Path | None,
    worker_ca: str | None,
    worker_cert: str | None,
    trusted_key: tuple[str, ...],
    renew: bool,
    rabbitmqctl: str | None,
) -> None:
    """Make account NAME with the permissions of its role, and the file that its owner needs (mode 0600).

    A worker's is the agent's configuration: copy it to /etc/worker-agent.toml there. A master's or an operator's holds
    the URL.
    """
    from contracts.errors import ContractError
    from contracts.requirements.sets import Requirements
    from contracts.topology import check_name, check_user
    from master_bridge.management import permissions
    from master_bridge.operating.enrolment import agent_config, amqp_url, new_password, write_private
    from master_bridge.operating.errors import OperatingError

    try:
        check_user(check_name(name, "account"))
        if role == "worker":
            granted = permissions.for_worker(name, [Requirements.from_signature(text).signature for text in allow])
        elif role == "master":
            granted = permissions.for_master(name, check_name(master or name, "--master"))
        else:
            granted = permissions.for_operator()
        address = parse_url(broker_url or where.url)
    except (ContractError, BadSettings) as error:
        raise click.UsageError(str(error)) from None
    path = output or Path(f"{name}.toml" if role == "worker" else f"{name}.url")
    if path.exists():
        raise click.ClickException(f"{path} is there already: name another file with --output")
    password = new_password()
    url = amqp_url(address, name, password)
    with _accounts(where, rabbitmqctl) as accounts:
        if accounts.exists(name) and not renew:
            raise click.ClickException(f"account {name!r} is there already: --renew gives it a new password")
        # First: workers may not make them, and RabbitMQ 4.3 refuses topic permissions on exchanges that are not there.
        accounts.make_exchanges(parse_url(where.url).vhost)
        accounts.put(name, password, parse_url(where.url).vhost, granted)
        if role == "worker":
            accounts.limit(name, parse_url(where.url).vhost)
    text = url + "\n"
    if role == "worker":
        text = agent_config(name, url, ca=worker_ca, certificate=worker_cert, keys=trusted_key)
    try:
        write_private(path, text)
    except OperatingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name}: account made; {path} holds its password")


@click.command(cls=OperatorCommand)
@click.argument("name")
@_CTL
@broker_options
def revoke(where: Where, name: str, rabbitmqctl: str | None) -> None:
    """Take account NAME away, with its connections and the queues that it made.

    What it ran is run again by another agent. Queues of a master stay: another account may serve it.
    """
    with _accounts(where, rabbitmqctl) as accounts:
        cut = accounts.remove(name)
    click.echo(f"{name}: account removed" + (f", {cut} connections cut" if cut else ""))


@contextmanager
def _accounts(where: Where, rabbitmqctl: str | None) -> Iterator[Accounts]:
    from master_bridge.management.accounts import CtlAccounts, ManagementAccounts
    from master_bridge.operating.errors import OperatingError

    if rabbitmqctl is None:
        with where.management() as management:
            yield ManagementAccounts(management)
        return
    try:
        yield CtlAccounts(shlex.split(rabbitmqctl))
    except OperatingError as error:
        raise click.ClickException(str(error)) from None
