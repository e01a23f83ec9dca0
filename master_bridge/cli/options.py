"""Options that commands share: where the broker is, and how to connect to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from contracts.operations.amqp_url import has_password
from contracts.readable import shown_lines
from master_bridge.link.settings import URL_VARIABLE, TLSSettings

if TYPE_CHECKING:
    from master_bridge.management.client import Management
    from master_bridge.operating.connection import Broker


@dataclass(frozen=True, kw_only=True)
class Where:
    """What the options say. `url` and `management_url` hold passwords, so they are in no repr."""

    url: str = field(repr=False)
    tls: TLSSettings
    management_url: str | None = field(default=None, repr=False)
    signing_key: Path | None = None

    @contextmanager
    def broker(self, purpose: str = "operator") -> Iterator[Broker]:
        """Connected, for the time of a `with`; errors become one line on stderr and exit status 1."""
        from master_bridge.operating.connection import connect
        from master_bridge.operating.errors import OperatingError

        try:
            with connect(self.url, self.tls, purpose=purpose, sign=self._sign()) as broker:
                yield broker
        except OperatingError as error:
            raise click.ClickException(shown_lines(str(error))) from None

    @contextmanager
    def management(self) -> Iterator[Management]:
        """The management API; a usage error where none was given."""
        from master_bridge.management.client import Management
        from master_bridge.operating.errors import OperatingError

        if self.management_url is None:
            raise click.UsageError(
                "no management API: give --management-url or BUILDBOT_AMQP_MANAGEMENT_URL "
                "(http://user:password@host:15672)"
            )
        try:
            with Management(self.management_url, ca=self.tls.ca) as management:
                yield management
        except OperatingError as error:
            raise click.ClickException(shown_lines(str(error))) from None

    def _sign(self) -> Any:
        if self.signing_key is None:
            return None
        from contracts.trust.signing import BadKey, Signer

        try:
            return Signer.from_file(self.signing_key).headers
        except BadKey as error:
            raise click.ClickException(shown_lines(str(error))) from None


def broker_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command gets them as its first argument, a `Where`."""

    @click.option(
        "--amqp-url",
        envvar=URL_VARIABLE,
        metavar="URL",
        help="Where the broker is: amqp[s]://user:password@host[:port]/vhost.",
    )
    @click.option(
        "--amqp-url-file", envvar=f"{URL_VARIABLE}_FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE", help="File that holds the URL: a command line can be read by every user of the machine.",
    )  # fmt: skip
    @click.option("--tls-ca", envvar="BUILDBOT_AMQP_TLS_CA", type=click.Path(exists=True), metavar="FILE",
                  help="PEM file of the CA that signed the broker's certificate. Default: the system's.")  # fmt: skip
    @click.option("--tls-cert", envvar="BUILDBOT_AMQP_TLS_CERT", type=click.Path(exists=True), metavar="FILE",
                  help="PEM file with a client certificate.")  # fmt: skip
    @click.option("--tls-key", envvar="BUILDBOT_AMQP_TLS_KEY", type=click.Path(exists=True), metavar="FILE",
                  help="PEM file with the key of that certificate.")  # fmt: skip
    @click.option("--management-url", envvar="BUILDBOT_AMQP_MANAGEMENT_URL", metavar="URL",
                  help="RabbitMQ's management API: http[s]://user:password@host:15672.")  # fmt: skip
    @click.option("--signing-key", envvar="BUILDBOT_AMQP_SIGNING_KEY", metavar="FILE",
                  type=click.Path(exists=True, dir_okay=False, path_type=Path),
                  help="Sign orders with this key (see `master-bridge keygen`).")  # fmt: skip
    @functools.wraps(function)
    def with_options(
        *args: Any,
        amqp_url: str | None,
        amqp_url_file: Path | None,
        tls_ca: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        management_url: str | None,
        signing_key: Path | None,
        **kwargs: Any,
    ) -> Any:
        url = amqp_url
        context = click.get_current_context()
        for name, value in (("amqp_url", amqp_url), ("management_url", management_url)):
            given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            if given and value is not None and has_password(value):
                flag = "--" + name.replace("_", "-")
                click.echo(
                    f"warning: the password in {flag} can be read by every user of this machine while the command "
                    "runs: use the environment or a file",
                    err=True,
                )
        if amqp_url_file is not None:
            url = amqp_url_file.read_text(encoding="utf-8").strip()
        if not url:
            raise click.UsageError(f"no broker: give --amqp-url, --amqp-url-file or {URL_VARIABLE}")
        where = Where(
            url=url,
            tls=TLSSettings(ca=tls_ca, certificate=tls_cert, key=tls_key),
            management_url=management_url,
            signing_key=signing_key,
        )
        return function(where, *args, **kwargs)

    return with_options
