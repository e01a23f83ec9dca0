"""Every setting of `master-bridge`, in one place: an option, an environment variable and a key of a TOML file each.

The option of `tls_ca` is `--tls-ca`, its variable `MASTER_BRIDGE_TLS_CA`, its key `tls_ca`: the rule of `worker-agent`,
too. An option wins over its variable, that over the file. What a single command takes (`--json`) has an option only.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from platformdirs.unix import Unix
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from contracts.operations.toml_file import BadFile, read_toml

PREFIX = "MASTER_BRIDGE_"
#: Names the configuration file.
CONFIG_VARIABLE = f"{PREFIX}CONFIG"


class WrongSetting(Exception):
    """OperatorSettings that cannot be used; one line each: where it came from, what is wrong with it, what to do."""


class Rank(IntEnum):
    """Where a value came from; a greater one wins."""

    FILE = 1
    VARIABLE = 2
    OPTION = 3


@dataclass(frozen=True)
class Given:
    """A value as it was given. `of`: its source as people know it: `--tls-ca`, `tls_ca in /…/master-bridge.toml`."""

    value: Any
    rank: Rank
    of: str


def _setting(text: str, metavar: str) -> Any:
    return Field(default=None, description=text, json_schema_extra={"metavar": metavar})


class OperatorSettings(BaseModel):
    """All settings, checked. Files are there, and those with secrets are readable by their owner only."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    amqp_url: SecretStr | None = _setting(
        "Where the fleet is: a broker, amqp[s]://user:password@host[:port]/vhost, or a master that listens for its "
        "agents itself, amps://operator:token@host[:port]?fingerprint=sha256:….",
        "URL",
    )
    amqp_url_file: Path | None = _setting(
        "File that holds the URL: a command line can be read by every user of the machine.", "FILE"
    )
    master_dir: Path | None = _setting(
        "Instead of a URL, on the machine and as the user of a master that listens for its agents itself: its folder. "
        "No account is needed.",
        "FOLDER",
    )
    tls_ca: Path | None = _setting(
        "PEM file of the CA that signed the broker's certificate. Default: the system's.", "FILE"
    )
    tls_cert: Path | None = _setting("PEM file with a client certificate.", "FILE")
    tls_key: Path | None = _setting("PEM file with the key of that certificate.", "FILE")
    management_url: SecretStr | None = _setting("RabbitMQ's management API: http[s]://user:password@host:15672.", "URL")
    signing_key: Path | None = _setting("Sign orders with this key (see `master-bridge keygen`).", "FILE")

    @field_validator("master_dir")
    @classmethod
    def _is_a_folder(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_dir():
            raise ValueError(f"{path} is no folder")
        return path

    @field_validator("amqp_url_file", "tls_ca", "tls_cert", "tls_key", "signing_key")
    @classmethod
    def _is_there(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None:
            return None
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise ValueError(f"{path} is a folder: name a file")
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        if not os.access(path, os.R_OK):
            raise ValueError(f"{path} cannot be read by this user")
        if info.field_name in ("amqp_url_file", "tls_key", "signing_key") and open_to_others(status):
            raise ValueError(f"{path} holds a secret, and other users may use it: chmod 600 {path}")
        return path


#: How settings are spelled for people that began as a broker's; their first names are read as well.
SPELLED = {"amqp_url": "url", "amqp_url_file": "url_file"}
#: Each says by itself where the fleet is.
PLACES = ("amqp_url", "amqp_url_file", "master_dir")
#: OperatorSettings that are secrets themselves: a file with one of them is for its owner only.
SECRETS = ("amqp_url", "management_url")


def option_of(setting: str) -> str:
    return "--" + SPELLED.get(setting, setting).replace("_", "-")


def options_of(setting: str) -> list[str]:
    """As it is spelled, and as it was first."""
    return list(dict.fromkeys([option_of(setting), "--" + setting.replace("_", "-")]))


def variable_of(setting: str) -> str:
    return PREFIX + SPELLED.get(setting, setting).upper()


def first_variable_of(setting: str) -> str:
    """As it was called first."""
    return PREFIX + setting.upper()


def config_file() -> Path:
    """Read when none is named: below `$XDG_CONFIG_HOME`, else `~/.config` (XDG base directory specification)."""
    return Unix("buildbot-amqp").user_config_path / "master-bridge.toml"


def open_to_others(status: os.stat_result) -> bool:
    """May others than the owner use a file with this status? As psql has it, root's may be for a group, too."""
    if not stat.S_ISREG(status.st_mode):
        return False  # a pipe: <(pass show broker)
    theirs = 0o007 if status.st_uid == 0 else 0o077
    return bool(status.st_mode & theirs)


def load(given: Mapping[str, Given], named: Path | None = None) -> OperatorSettings:
    """The settings of this call. `given`: by options and variables; `named`: the file that was named, which must exist.

    Raises `WrongSetting`.
    """
    every = {**_of_file(named), **given}
    places = sorted((name for name in PLACES if name in every), key=lambda name: every[name].rank)
    strongest = [every[name] for name in places if every[name].rank == every[places[-1]].rank]
    if len(strongest) > 1:
        raise WrongSetting(f"{strongest[0].of} and {strongest[1].of} both say where the fleet is: give one of them")
    for weaker in places[:-1]:
        del every[weaker]
    try:
        return OperatorSettings(**{name: each.value for name, each in every.items()})
    except ValidationError as error:
        problems = ((str(problem["loc"][0]), problem["msg"]) for problem in error.errors())
        raise WrongSetting(
            "\n".join(f"{every[name].of}: {text.removeprefix('Value error, ')}" for name, text in problems)
        ) from None


def _of_file(named: Path | None) -> dict[str, Given]:
    path = named or config_file()
    if named is None and not path.exists():
        return {}
    try:
        table = read_toml(path)
    except BadFile as error:
        raise WrongSetting(f"{error}; it is named by --config or {CONFIG_VARIABLE}" if named else str(error)) from None
    firsts = {spelled: first for first, spelled in SPELLED.items()}
    for spelled, first in firsts.items():
        if spelled in table and first in table:
            raise WrongSetting(f"{spelled} and {first} in {path} are one setting: leave one of them out")
    spelt = {firsts.get(key, key): key for key in table}
    table = {firsts.get(key, key): value for key, value in table.items()}
    for key, value in table.items():
        if key not in OperatorSettings.model_fields:
            names = [SPELLED.get(name, name) for name in OperatorSettings.model_fields]
            close = difflib.get_close_matches(key, [*names, *SPELLED], n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
            raise WrongSetting(f"{key} in {path}: there is no such setting; {hint}")
        if not isinstance(value, str):
            raise WrongSetting(f'{spelt[key]} in {path}: is to be a text: {spelt[key]} = "…"')
    secrets = [key for key in SECRETS if key in table]
    if secrets and open_to_others(path.stat()):
        raise WrongSetting(
            f"{spelt[secrets[0]]} in {path}: the file holds a secret, and other users may use it: chmod 600 {path}"
        )
    return {key: Given(_placed(key, value, path), Rank.FILE, f"{spelt[key]} in {path}") for key, value in table.items()}


def _placed(key: str, value: str, path: Path) -> str:
    """Files are named as seen from the configuration file's folder."""
    if key in SECRETS:
        return value
    try:
        return str(path.parent / Path(value).expanduser())
    except RuntimeError:
        raise WrongSetting(f"{key} in {path}: {value}: no such home directory is known; write the whole path") from None


def unknown_variables() -> list[str]:
    """Variables with our prefix that set nothing: misspelt, or of another version."""
    known = {CONFIG_VARIABLE, *map(variable_of, OperatorSettings.model_fields), *map(first_variable_of, SPELLED)}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
