"""Options that commands share: where the broker is, and how to connect to it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from contracts.operations.amqp_url import has_password
from contracts.operations.exit_status import ExitStatus
from contracts.operations.office_url import is_office_url
from contracts.readable import shown_lines
from master_bridge.cli.settings import (
    SECRETS,
    SPELLED,
    Given,
    OperatorSettings,
    Rank,
    WrongSetting,
    config_file,
    first_variable_of,
    load,
    option_of,
    options_of,
    unknown_variables,
    variable_of,
)
from master_bridge.link.settings import TLSSettings

if TYPE_CHECKING:
    from master_bridge.management.client import Management
    from master_bridge.operating.connection import Broker
    from master_bridge.operating.port import OperatorsLink
    from master_bridge.running.fleet import Fleet


@dataclass(frozen=True, kw_only=True)
class Where:
    """What the options say. `url` and `management_url` hold passwords, so they are in no repr.

    `url` is "" where `master_dir` says which master is meant.
    """

    url: str = field(repr=False)
    tls: TLSSettings
    master_dir: Path | None = None
    management_url: str | None = field(default=None, repr=False)
    signing_key: Path | None = None

    @property
    def is_office(self) -> bool:
        """Agents come to a master itself: there is no RabbitMQ."""
        return self.master_dir is not None or is_office_url(self.url)

    @contextmanager
    def broker(self, purpose: str = "operator") -> Iterator[OperatorsLink]:
        """Connected, for the time of a `with`; errors become one line on stderr and exit status 1."""
        from master_bridge.operating.errors import OperatingError

        if not self.is_office:
            with self.rabbitmq(purpose) as broker:
                yield broker
            return
        from master_bridge.operating.office.link import connect_to_office

        try:
            with connect_to_office(self.url, self.master_dir, self.tls, sign=self._sign()) as link:
                yield link
        except OperatingError as error:
            raise click.ClickException(shown_lines(str(error))) from None

    @contextmanager
    def rabbitmq(self, purpose: str) -> Iterator[Broker]:
        """The same, for what RabbitMQ alone has: a usage error where there is none."""
        from master_bridge.operating.connection import connect
        from master_bridge.operating.errors import OperatingError

        if self.is_office:
            raise click.UsageError(
                f"{purpose}: looks after RabbitMQ, and this fleet has none: its master keeps what waits in its own "
                "memory, and makes it anew at each start; `master-bridge doctor` looks at the way there"
            )
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
                "no management API: give --management-url or MASTER_BRIDGE_MANAGEMENT_URL "
                "(http://user:password@host:15672)"
            )
        try:
            with Management(self.management_url, ca=self.tls.ca) as management:
                yield management
        except OperatingError as error:
            raise click.ClickException(shown_lines(str(error))) from None

    def fleet(self) -> Fleet:
        """For commands and files on agents; what lasts or goes wrong meanwhile is said on stderr."""
        from master_bridge.running.fleet import Fleet

        return Fleet(
            self.url,
            master_dir=self.master_dir,
            tls=self.tls,
            signing_key=self.signing_key,
            say=lambda text: click.echo(shown_lines(text), err=True),
        )

    def _sign(self) -> Any:
        if self.signing_key is None:
            return None
        from contracts.trust.signing import BadKey, Signer

        try:
            return Signer.from_file(self.signing_key).headers
        except BadKey as error:
            raise click.ClickException(shown_lines(str(error))) from None


def broker_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of all settings; the command gets what they say as its first argument, a `Where`."""

    @functools.wraps(function)
    def with_options(*args: Any, **kwargs: Any) -> Any:
        return function(_where({name: kwargs.pop(name) for name in OperatorSettings.model_fields}), *args, **kwargs)

    for name, setting in reversed(OperatorSettings.model_fields.items()):
        extra = setting.json_schema_extra
        metavar = str(extra["metavar"]) if isinstance(extra, dict) else None
        kind = click.Path(path_type=Path) if metavar in ("FILE", "FOLDER") else None
        with_options = click.option(
            *options_of(name), name, envvar=variable_of(name), type=kind, metavar=metavar, help=setting.description
        )(with_options)
    return with_options


def _where(values: Mapping[str, Any]) -> Where:
    """From options, variables and the configuration file. Ends the program with status 2 where they are wrong."""
    context = click.get_current_context()
    given: dict[str, Given] = {}
    for name, value in values.items():
        if value is None:
            if name in SPELLED and (first := os.environ.get(first_variable_of(name))):
                given[name] = Given(first, Rank.VARIABLE, first_variable_of(name))
            continue
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            given[name] = Given(value, Rank.OPTION, option_of(name))
            if name in SECRETS and has_password(value):
                click.echo(
                    f"warning: the password in {option_of(name)} can be read by every user of this machine while the "
                    "command runs: use the environment or a file",
                    err=True,
                )
        else:
            given[name] = Given(value, Rank.VARIABLE, variable_of(name))
    for variable in unknown_variables():
        click.echo(f"warning: {variable} sets nothing: there is no such setting (master-bridge --help)", err=True)
    try:
        settings = load(given, context.find_root().params.get("config"))
        url = url_of(settings)
    except WrongSetting as error:
        raise WrongUse(shown_lines(str(error))) from None
    if not url and settings.master_dir is None:
        raise click.UsageError(
            f"no broker: give --url, --url-file, --master-dir or {variable_of('amqp_url')}, or write url to "
            f"{config_file()}"
        )
    return of_settings(settings, url)


def of_settings(settings: OperatorSettings, url: str | None) -> Where:
    """`url`: what they say of it, from wherever."""
    files = {name: str(path) if (path := getattr(settings, f"tls_{name}")) else None for name in ("ca", "cert", "key")}
    return Where(
        url=url or "",
        master_dir=settings.master_dir,
        tls=TLSSettings(ca=files["ca"], certificate=files["cert"], key=files["key"]),
        management_url=settings.management_url.get_secret_value() if settings.management_url else None,
        signing_key=settings.signing_key,
    )


def url_of(settings: OperatorSettings) -> str | None:
    """None: they name none. Raises `WrongSetting`."""
    if settings.amqp_url_file is not None:
        try:
            return settings.amqp_url_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise WrongSetting(
                f"{settings.amqp_url_file} is no text in UTF-8: it is to hold the broker's URL"
            ) from None
    return settings.amqp_url.get_secret_value() if settings.amqp_url else None


class WrongUse(click.ClickException):
    """An option, a variable or the configuration file is wrong."""

    exit_code = ExitStatus.USAGE
