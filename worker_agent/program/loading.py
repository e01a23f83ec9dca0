"""Brings the settings together from flags, environment and file, and says which of them was wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationError

from contracts.operations.amqp_url import BadURL, has_password
from contracts.operations.exit_status import ExitStatus
from contracts.operations.office_url import TLS_WIRES, OfficeAddress, parse_agent_url
from contracts.operations.toml_file import BadFile, parse_toml, read_toml
from worker_agent.program.settings import CONFIG_FILES, CREDENTIAL, PREFIX, Settings, absolute, has_home

#: Settings that are known to the environment only in this module.
CONFIG_VARIABLE = f"{PREFIX}CONFIG"


class BadSettings(Exception):
    """Settings that cannot be used; one line each: the setting, where it came from, what is wrong with it."""


#: How settings are spelled for people that began as a broker's; their first names are read as well.
SPELLED = {"amqp_url": "url", "amqp_url_file": "url_file"}

#: The subcommand that an agent's keeper starts.
GIVE_BACK = "give-back"


def flag_of(setting: str) -> str:
    """The command-line option of a setting: "--slots"."""
    return "--" + SPELLED.get(setting, setting).replace("_", "-")


def variable_of(setting: str) -> str:
    """Its environment variable: "WORKER_AGENT_SLOTS"."""
    return PREFIX + SPELLED.get(setting, setting).upper()


def value_of(setting: str) -> str | None:
    """What the environment says of it, under either name; None: nothing."""
    return os.environ.get(variable_of(setting)) or os.environ.get(PREFIX + setting.upper()) or None


def _as_first_named(file: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """A configuration file's settings by their first names. Raises `BadSettings` where it has one under both."""
    firsts = {spelled: first for first, spelled in SPELLED.items()}
    for spelled, first in firsts.items():
        if spelled in file and first in file:
            raise BadSettings(f"{path}: {spelled} and {first} are one setting: leave one of them out")
    return {firsts.get(name, name): value for name, value in file.items()}


def load(flags: Mapping[str, Any], config: Path | None = None) -> Settings:
    """The settings of this process. `flags`: those given on the command line; `config`: the file named there.

    Raises `BadSettings`.
    """
    path = _config_file(config)
    file = _as_first_named(_read(path), path) if path else {}
    try:
        settings = Settings.model_validate({**file, **_environment(), **flags})
    except ValidationError as error:
        raise BadSettings("\n".join(_explain(problem, flags, file, path) for problem in error.errors())) from None
    settings._config_file = path
    loaded = _with_url(settings, flags, file)
    _check_tls(loaded)
    return loaded


def _environment() -> dict[str, str]:
    """What variables say, as text; a value that is empty says nothing. Their names may be in small letters, too."""
    variables = {name.upper(): value for name, value in os.environ.items() if value}
    firsts = {name: variables.get(PREFIX + name.upper()) for name in Settings.model_fields}
    spelled = {name: value_of(name) for name in SPELLED}
    return {name: value for values in (firsts, spelled) for name, value in values.items() if value is not None}


def _check_tls(settings: Settings) -> None:
    """Nobody who names certificates wants a plain connection. Raises `BadSettings`."""
    if settings.amqp_url is None:
        return
    given = [name for name in ("tls_ca", "tls_cert", "tls_key") if getattr(settings, name) is not None]
    if settings.tls_key is not None and settings.tls_cert is None:
        raise BadSettings("--tls-key: a key without a certificate: give --tls-cert, too")
    address = parse_agent_url(settings.amqp_url.get_secret_value())
    if given and isinstance(address, OfficeAddress) and address.wire not in TLS_WIRES:
        raise BadSettings(f"{', '.join(map(flag_of, given))}: {address.wire}: has no TLS; leave this out")
    if given and not address.secure:
        raise BadSettings(
            f"{', '.join(map(flag_of, given))}: given with amqp://, which is plain text; write amqps:// in the URL, or "
            "leave this out"
        )


def _config_file(named: Path | None) -> Path | None:
    if named is None and os.environ.get(CONFIG_VARIABLE):
        named = Path(os.environ[CONFIG_VARIABLE])
    try:
        if named is not None:
            return absolute(named)
    except ValueError as error:
        raise BadSettings(f"--config: {error}") from None
    at_home = CONFIG_FILES if has_home() else CONFIG_FILES[1:]
    return next((path for path in (file.expanduser() for file in at_home) if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except BadFile as error:
        raise BadSettings(f"--config: {error}") from None


def as_table(text: str, name: str) -> dict[str, Any]:
    """TOML, read. `name`: of the file, for the error. Raises `BadSettings`."""
    try:
        return parse_toml(text, name)
    except BadFile as error:
        raise BadSettings(str(error)) from None


def source_of(setting: str, flags: Mapping[str, Any], file: Mapping[str, Any], path: Path | None) -> str:
    """Where the value of a setting came from, as people know it."""
    if setting in flags:
        return flag_of(setting)
    for variable in (variable_of(setting), PREFIX + setting.upper()):
        if os.environ.get(variable):
            return f"environment variable {variable}"
    if setting in file:
        return f"{setting} in {path}"
    return f"default of {flag_of(setting)}"


def _explain(problem: Any, flags: Mapping[str, Any], file: Mapping[str, Any], path: Path | None) -> str:
    if not problem["loc"]:  # of several settings together
        return str(problem["msg"].removeprefix("Value error, "))
    setting = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return unknown_setting(setting, str(path))
    text = problem["msg"].removeprefix("Value error, ")
    return f"{source_of(setting, flags, file, path)}: {text}. See {flag_of(setting)} in `worker-agent --help`"


def unknown_setting(setting: str, name: str) -> str:
    """What to say of it. `name`: of the file."""
    import difflib

    from contracts.operations.program_version import version

    close = difflib.get_close_matches(setting, Settings.model_fields, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; `worker-agent --help` lists all"
    return f"{setting} in {name}: there is no such setting in worker-agent {version()}{hint}"


def _with_url(settings: Settings, flags: Mapping[str, Any], file: Mapping[str, Any]) -> Settings:
    """The URL itself, wherever it was kept. Of `amqp_url` and `amqp_url_file` the one from the stronger source wins."""
    for given in (flags, {name: value_of(name) for name in SPELLED}, file):
        both = [name for name in ("amqp_url", "amqp_url_file") if given.get(name)]
        if len(both) == 2:
            raise BadSettings("--url and --url-file both say where to connect: give one of them")
        if both == ["amqp_url"]:
            return settings.model_copy(update={"amqp_url_file": None})  # a weaker source's
        if both:
            assert settings.amqp_url_file is not None
            return _from_file(settings, settings.amqp_url_file, source_of("amqp_url_file", flags, file, None))
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / CREDENTIAL).is_file():
        return _from_file(settings, Path(folder) / CREDENTIAL, f"systemd credential {CREDENTIAL}")
    return settings


def _from_file(settings: Settings, path: Path, source: str) -> Settings:
    try:
        url = read_url(path)
    except BadSettings as error:
        raise BadSettings(f"{source}: {error}") from None
    return settings.model_copy(update={"amqp_url": SecretStr(url), "amqp_url_file": path})


def read_url(path: Path) -> str:
    """The AMQP URL that a file holds. Raises `BadSettings`, which never repeats it."""
    try:
        url = path.read_text(encoding="utf-8").strip()
        parse_agent_url(url)
    except OSError as error:
        raise BadSettings(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path} is no text in UTF-8") from None
    except BadURL as error:
        raise BadSettings(f"{path}: {error}") from None
    return url


def unknown_variables() -> tuple[str, ...]:
    """Variables with our prefix that set nothing: misspelt, or of another version."""
    known = {variable_of(name) for name in Settings.model_fields} | {PREFIX + name.upper() for name in SPELLED}
    known.add(CONFIG_VARIABLE)
    return tuple(sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known))


class Given(NamedTuple):
    """What a command line says of an agent."""

    #: its options by the names of their settings; None or empty: not given
    flags: Mapping[str, Any]
    #: the file of `--config`
    config: Path | None
    #: a subcommand stands at its end
    subcommand: bool = False

    @property
    def present(self) -> dict[str, Any]:
        """The options that are given."""
        return {name: value for name, value in self.flags.items() if value is not None and value != ()}


def settings_of(given: Given) -> Settings:
    """The settings, for an agent and for any subcommand; ends the program with status 2 where they are wrong."""
    flags = given.present
    if has_password(str(flags.get("amqp_url", ""))):
        _say(
            "--url: its password can be read by every user of this machine; prefer --url-file, "
            f"the configuration file or {variable_of('amqp_url')}"
        )
    try:
        return load(flags, given.config)
    except BadSettings as error:
        for line in str(error).splitlines():
            _say(line)
        sys.exit(ExitStatus.USAGE)


def _say(text: str) -> None:
    print(f"worker-agent: {text}", file=sys.stderr)  # noqa: T201  # the command's answer
