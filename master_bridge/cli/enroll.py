"""`master-bridge enroll` and `revoke`: accounts of workers, masters and operators at the broker."""

from __future__ import annotations

import getpass
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from master_bridge.cli.manual import FAILED, OperatorCommand
from master_bridge.cli.options import Where, broker_options
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import parse_url

if TYPE_CHECKING:
    from contracts.operations.amqp_url import BrokerAddress
    from master_bridge.management.accounts import Accounts
    from master_bridge.operating.enclosed import Enclosed

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
              "password: amqps://host/vhost. Default: as --url. With --master-dir, the master: amps://host:port. "
              "Default: this machine's name, port 9990.")  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="The new file with the password. Default: NAME.toml or NAME.url here.")  # fmt: skip
@click.option(
    "--worker-ca", type=click.Path(path_type=Path), metavar="FILE",
    help="PEM file, here, of the authority by which the worker knows the broker. Default: as --tls-ca.",
)  # fmt: skip
@click.option(
    "--worker-cert", type=click.Path(path_type=Path), metavar="FILE",
    help="PEM file, here, with the worker's own certificate and key, where the broker asks for one.",
)  # fmt: skip
@click.option(
    "--trusted-key", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="The .pub file, here, of a key whose signatures the worker believes; repeatable. Default: that of "
    "--signing-key.",
)  # fmt: skip
@click.option("--ssh-key", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="With --master-dir: the agent comes by ssh with the key of which FILE is the public half (.pub). "
              "Prints the line for authorized_keys of the master's user. --broker-url is ssh://user@host[:port] then. "
              "Default: this user at this machine.")  # fmt: skip
@click.option("--reached", is_flag=True, help="With --master-dir: `master-bridge reach` brings its connection.")
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
    worker_ca: Path | None,
    worker_cert: Path | None,
    trusted_key: tuple[Path, ...],
    ssh_key: Path | None,
    reached: bool,
    renew: bool,
    rabbitmqctl: str | None,
) -> None:
    """Make account NAME with the permissions of its role, and the file that its owner needs (mode 0600).

    A worker's is the agent's whole configuration, with the certificates and keys that it needs; the line that makes the
    machine a worker with it is printed. A master's or an operator's holds the URL.
    """
    from contracts.errors import ContractError
    from contracts.requirements.sets import Requirements
    from contracts.topology import check_name, check_user
    from master_bridge.management import permissions
    from master_bridge.operating.enrolment import amqp_url, new_password, write_private
    from master_bridge.operating.errors import OperatingError

    if ssh_key is not None or reached:
        if where.master_dir is None or (ssh_key is not None and reached):
            raise click.UsageError("--ssh-key or --reached, one of them, is given with --master-dir")
        by_ssh(where.master_dir, name, role, ssh_key, broker_url, output, trusted_key, renew=renew)
        return
    if where.master_dir is not None:
        at_master(where.master_dir, name, role, broker_url, output, worker_ca, trusted_key, renew=renew)
        return
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
    try:
        joining = Joining.of(where, address, worker_ca, worker_cert, trusted_key) if role == "worker" else None
        # before the account: a password that could not be kept would be lost
        write_private(path, url + "\n" if joining is None else joining.configuration(name, url))
    except OperatingError as error:
        raise click.ClickException(str(error)) from None
    try:
        with _accounts(where, rabbitmqctl) as accounts:
            if accounts.exists(name) and not renew:
                raise click.ClickException(f"account {name!r} is there already: --renew gives it a new password")
            # First: workers may not make them, and RabbitMQ 4.3 refuses topic permissions on exchanges that are not
            # there.
            accounts.make_exchanges(parse_url(where.url).vhost)
            accounts.put(name, password, parse_url(where.url).vhost, granted)
            if role == "worker":
                accounts.limit(name, parse_url(where.url).vhost)
    except BaseException:
        path.unlink()
        raise
    click.echo(f"{name}: account {'renewed' if renew else 'made'}; {path} holds its password")
    if joining is not None:
        click.echo(joining.instructions(name, path))


def at_master(
    folder: Path,
    name: str,
    role: str,
    url: str | None,
    output: Path | None,
    ca: Path | None,
    keys: tuple[Path, ...],
    *,
    renew: bool,
) -> None:
    """An account of a master that listens itself, and its owner's file: a worker's configuration, else the URL."""
    from contracts.errors import ContractError
    from contracts.operations.office_url import PORT
    from contracts.topology import check_name
    from master_bridge.link.office import accounts
    from master_bridge.link.office.enrolling import enrolled
    from master_bridge.operating import enclosed
    from master_bridge.operating.enrolment import agent_config, write_private
    from master_bridge.operating.errors import OperatingError

    path = output or Path(f"{name}.toml" if role == "worker" else f"{name}.url")
    if role == "master":
        raise click.UsageError("--as master: a master that listens itself needs no account")
    if path.exists():
        raise click.ClickException(f"{path} is there already: name another file with --output")
    try:
        check_name(name, "account")
        file = folder / accounts.ACCOUNTS_FILE
        if name in accounts.listed(file) and not renew:
            raise click.ClickException(f"account {name!r} is there already: --renew gives it a new secret")
        authority = None if ca is None else enclosed.authority(ca)
        trusted = enclosed.trusted_keys(keys, None)
        role_there: accounts.Role = "operator" if role == "operator" else "agent"
        url = url or f"amps://{socket.getfqdn()}:{PORT}"
        whole = enrolled(folder, name, url, role_there, authority=ca is not None)
        text = f"{whole}\n"
        if role == "worker":
            text = agent_config(
                name,
                whole,
                ca=authority.pem if authority else None,
                certificate=None,
                keys=[key.pem for key in trusted],
            )
        write_private(path, text)
    except (ContractError, BadSettings, OperatingError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name}: account {'renewed' if renew else 'made'} in {file}; {path} holds its secret")
    if role == "worker":
        click.echo(f"With the package installed this makes a machine a worker: worker-agent --config {path.name}")


def by_ssh(
    folder: Path,
    name: str,
    role: str,
    key_file: Path | None,
    url: str | None,
    output: Path | None,
    keys: tuple[Path, ...],
    *,
    renew: bool,
) -> None:
    """An account whose connections ssh brings. With a key: its owner's file, and the line for `authorized_keys`."""
    from contracts.errors import ContractError
    from contracts.operations.office_url import SSH, parse_office_url
    from contracts.topology import check_name
    from master_bridge.link.office import accounts
    from master_bridge.operating import enclosed
    from master_bridge.operating.enrolment import agent_config, write_private
    from master_bridge.operating.errors import OperatingError
    from master_bridge.ssh import authorized_keys

    if role == "master" or (role == "operator" and key_file is None):
        raise click.UsageError(f"--as {role}: only an agent, or an operator with --ssh-key, comes by ssh")
    if url is not None and not url.startswith(f"{SSH}://"):
        raise click.UsageError("--broker-url: with --ssh-key it begins with ssh://")
    path = output or Path(f"{name}.toml" if role == "worker" else f"{name}.url")
    if key_file is not None and path.exists():
        raise click.ClickException(f"{path} is there already: name another file with --output")
    try:
        check_name(name, "account")
        file = folder / accounts.ACCOUNTS_FILE
        if name in accounts.listed(file) and not renew:
            raise click.ClickException(f"account {name!r} is there already: --renew changes how it comes in")
        whole = f"{url or f'{SSH}://{getpass.getuser()}@{socket.getfqdn()}'}/{name}"
        if key_file is not None:
            line = authorized_keys.line(name, folder, authorized_keys.public_key(key_file))
            parse_office_url(whole)
            trusted = [key.pem for key in enclosed.trusted_keys(keys, None)]
            config = agent_config(name, whole, ca=None, certificate=None, keys=trusted)
            write_private(path, config if role == "worker" else f"{whole}\n")
        accounts.add(file, name, role="operator" if role == "operator" else "agent", ssh=True)
    except (ContractError, BadSettings, OperatingError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{name}: account {'renewed' if renew else 'made'} in {file}")
    if key_file is None:
        click.echo(f"This brings its connection: master-bridge reach {name} --master-dir {shlex.quote(str(folder))}")
        return
    click.echo(f"This line belongs into ~/.ssh/authorized_keys of the user that the master runs as:\n\n{line}\n")
    if role == "worker":
        click.echo(f"With the package installed this makes a machine a worker: worker-agent --config {path.name}")


@dataclass(frozen=True, kw_only=True)
class Joining:
    """What a worker's configuration encloses beside its account."""

    ca: Enclosed | None
    certificate: Enclosed | None
    keys: list[Enclosed]

    @classmethod
    def of(
        cls,
        where: Where,
        address: BrokerAddress,
        ca: Path | None,
        certificate: Path | None,
        keys: tuple[Path, ...],
    ) -> Joining:
        """Raises `OperatingError`."""
        from master_bridge.operating import enclosed
        from master_bridge.operating.errors import OperatingError

        if (ca or certificate) and not address.secure:
            raise OperatingError(
                f"--worker-{'ca' if ca else 'cert'}: the worker's URL is amqp://, which is plain text: write amqps:// "
                "in --broker-url, or leave this out"
            )
        if ca is None and address.secure and where.tls.ca is not None:
            ca = Path(where.tls.ca)
        return cls(
            ca=None if ca is None else enclosed.authority(ca),
            certificate=None if certificate is None else enclosed.client_certificate(certificate),
            keys=enclosed.trusted_keys(keys, where.signing_key),
        )

    def configuration(self, name: str, url: str) -> str:
        """The agent's, in TOML."""
        from master_bridge.operating.enrolment import agent_config

        return agent_config(
            name,
            url,
            ca=self.ca.pem if self.ca else None,
            certificate=self.certificate.pem if self.certificate else None,
            keys=[key.pem for key in self.keys],
        )

    def instructions(self, name: str, path: Path) -> str:
        """What is in the file, and the line that makes the machine a worker."""
        inside = [each.what for each in (self.ca, self.certificate, *self.keys) if each is not None]
        if not self.keys:
            inside.append("no trusted key, so it believes everybody whom the broker lets in")
        script = "sh buildbot-amqp/deploy/install-worker.sh --source ./buildbot-amqp --config"
        return (
            f"  with {', '.join(inside)}\n"
            "With a checkout of this project in ./buildbot-amqp this makes the machine a worker. There, as root:\n"
            f"  {script} {shlex.quote(path.name)}\n"
            "or from here, without a copy of the file:\n"
            f"  ssh root@{name} {script} - <{shlex.quote(str(path))}"
        )


@click.command(cls=OperatorCommand)
@click.argument("name")
@_CTL
@broker_options
def revoke(where: Where, name: str, rabbitmqctl: str | None) -> None:
    """Take account NAME away, with its connections and the queues that it made.

    What it ran is run again by another agent. Queues of a master stay: another account may serve it.
    """
    if where.master_dir is not None:
        from master_bridge.link.office import accounts as of_master

        try:
            known = of_master.remove(where.master_dir / of_master.ACCOUNTS_FILE, name)
        except BadSettings as error:
            raise click.ClickException(str(error)) from None
        if not known:
            raise click.ClickException(f"that master has no account {name!r}")
        click.echo(f"{name}: account removed; the master cuts its connections within seconds")
        click.echo("If it came with an ssh key, remove its line from authorized_keys, too.")
        return
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
