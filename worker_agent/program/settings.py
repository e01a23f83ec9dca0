"""Every setting of the agent, in one place: a flag, an environment variable, a key of a TOML file and a default each.

The flag of `amqp_url` is `--amqp-url`, its variable `WORKER_AGENT_AMQP_URL`, its key `amqp_url`. A flag wins over the
environment, that over the file, that over the default. How they are loaded is in `worker_agent.program.loading`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import re
import socket
from pathlib import Path
from typing import Any, Literal, TypeGuard

from pydantic import BaseModel, ByteSize, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from contracts.operations.amqp_url import BadURL
from contracts.operations.office_url import parse_agent_url
from contracts.readable import readable

PREFIX = "WORKER_AGENT_"
#: Files read when none is named, the later one first; the first that exists counts.
CONFIG_FILES = (Path("~/.config/worker-agent.toml"), Path("/etc/worker-agent.toml"))
#: A file of this name in systemd's credentials directory holds the AMQP URL.
CREDENTIAL = "amqp-url"

#: Where probes and capabilities of the machine's owner lie; no upgrade touches them.
CAPABILITY_FOLDERS = (Path("/etc/worker-agent/capabilities.d"), Path("~/.config/worker-agent/capabilities.d"))

#: Several values in one variable are separated by commas or spaces.
Words = tuple[str, ...]
Folders = tuple[Path, ...]
#: A PEM file, or its text: a configuration file may hold all that its machine needs.
PEM = Path | str
PEMs = tuple[PEM, ...]
#: Text, not the name of a file.
_PEM_BEGINS = "-----BEGIN "
_PEM_ENDS = re.compile(r"(?<=-----)\s+(?=-----BEGIN )")


def _setting(default: Any, group: str, text: str, metavar: str | None = None, **bounds: Any) -> Any:
    return Field(
        default=default,
        description=text,
        validate_default=default is not None,
        json_schema_extra={"group": group, "metavar": metavar},
        **bounds,
    )


BROKER, WORK, ABLE, LIFE, FIT, SEE = "Broker", "Work", "Capabilities", "Lifetime", "Fitness", "Watching"


class Settings(BaseModel):
    """All settings, checked. Sizes are bytes ("1GiB" is understood), times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    amqp_url: SecretStr | None = _setting(
        None, BROKER, "Where to connect: to a broker, amqp[s]://user:password@host[:port]/vhost, or to a master, "
        "amps://user:token@host[:port]?fingerprint=sha256:…, zmq://user:key@host[:port]?serverkey=… or "
        "ssh://[login@]host[:port]/user. A password on a command line can be read by every user "
        "of the machine: prefer the file or the variable.", "URL",
    )  # fmt: skip
    amqp_url_file: Path | None = _setting(
        None, BROKER, "File that holds the URL; read again when the broker cannot be had with it. systemd's "
        f"credential {CREDENTIAL!r} is used by itself.", "FILE",
    )  # fmt: skip
    tls_ca: PEM | None = _setting(
        None, BROKER, "PEM file, or its text, of the authorities that may have signed the broker's certificate; "
        "without it the system's.", "FILE",
    )  # fmt: skip
    tls_cert: PEM | None = _setting(
        None, BROKER, "PEM file, or its text, with this agent's certificate (and key).", "FILE", repr=False
    )
    tls_key: PEM | None = _setting(
        None, BROKER, "PEM file, or its text, with the key, where the certificate's has none.", "FILE", repr=False
    )
    trusted_key: PEMs = _setting(
        (), BROKER, "Believe only what is signed with this key, the .pub file of `master-bridge keygen` or its text; "
        "may be repeated while keys are changed.", "FILE",
    )  # fmt: skip
    heartbeat: int = _setting(10, BROKER, "Seconds between heartbeats; the broker gives a silent agent up after two.",
                              "SECONDS", ge=1, le=600)  # fmt: skip
    reconnect_max: float = _setting(
        15.0, BROKER, "Longest pause between two tries to reach the broker.", "SECONDS", gt=0, le=300
    )

    name: str = _setting("", WORK, "What people call this agent. Default: the host's name.", "NAME", max_length=128)
    slots: int = _setting(1, WORK, "How many builds run here at the same time.", "N", ge=1, le=1000)
    run_as: str | None = _setting(
        None, WORK, "User whom commands run as, so that a build can read neither the agent's broker password nor its "
        "state. Linux; the agent needs the right to change users (docs/how-to/security.md). Default: the agent's own "
        "user.", "USER", min_length=1,
    )  # fmt: skip
    basedir: Path = _setting(
        Path(""), WORK, "Where builds run. Default: `builds` in the state folder; with --run-as `builds/NAME` in that "
        "user's home.", "FOLDER",
    )  # fmt: skip
    state: Path = _setting(
        Path(""), WORK, "The agent's own folder: identity, journals. Default: $STATE_DIRECTORY, else "
        "~/.local/state/worker-agent/NAME.", "FOLDER",
    )  # fmt: skip
    admin: str | None = _setting(None, WORK, "Who looks after this machine; shown on Buildbot's pages.", "TEXT")
    host: str | None = _setting(None, WORK, "What this machine is; shown on Buildbot's pages.", "TEXT")
    access_uri: str | None = _setting(None, WORK, "How to get to this machine; shown on Buildbot's pages.", "URI")
    encoding: str = _setting("utf-8", WORK, "Encoding of the text that commands print.", "NAME")

    auto_capabilities: bool = _setting(False, ABLE, "Find out what this machine can do.")
    capability: Words = _setting(
        (), ABLE, "Also claim this one: `name` or `name=version`; may be repeated.", "NAME[=VERSION]"
    )
    without: Words = _setting((), ABLE, "Do not claim this one, though found; may be repeated.", "NAME")
    capabilities_d: Folders = _setting(
        CAPABILITY_FOLDERS,
        ABLE,
        "Folder with probes and capabilities of your own (*.toml); may be repeated, the later one wins.",
        "FOLDER",
    )
    probe_interval: float = _setting(3600.0, ABLE, "Probe again this often; 0: on SIGHUP only.", "SECONDS", ge=0)

    exit_after_idle: float | None = _setting(None, LIFE, "Leave after so long without work.", "SECONDS", gt=0)
    exit_after_build: bool = _setting(False, LIFE, "Leave after the first build.")
    max_uptime: float | None = _setting(None, LIFE, "After so long take no new work, finish, leave.", "SECONDS", gt=0)

    min_free_disk: ByteSize = _setting(
        "256MiB", FIT, "With less free disk at the base directory take no work; 0: do not check.", "SIZE"
    )
    min_free_temp: ByteSize = _setting(
        "64MiB", FIT, "With less free space in the temporary directory take no work; 0: do not check.", "SIZE"
    )
    min_free_memory: ByteSize = _setting("64MiB", FIT, "With less free memory take no work; 0: do not check.", "SIZE")
    cache_free_disk: ByteSize = _setting(
        "1GiB", FIT, "With less free disk remove build directories, the longest unused first; 0: keep all.", "SIZE"
    )

    metrics_port: int | None = _setting(None, SEE, "Serve /metrics, /live and /ready on this port; 0: any free one.",
                                        "PORT", ge=0, le=65535)  # fmt: skip
    metrics_host: str = _setting("127.0.0.1", SEE, "Address of this machine to serve them on.", "ADDRESS")
    traces: bool = _setting(
        False, SEE, "Send what is done for builds that their master traces by OTLP, as OpenTelemetry's variables "
        "OTEL_… say; needs the extra \"otel\".",
    )  # fmt: skip
    log_format: Literal["console", "json"] = _setting("console", SEE, "How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", SEE, "The least serious lines to log.")

    _config_file: Path | None = PrivateAttr(default=None)

    @property
    def config_file(self) -> Path | None:
        """The file that some of them were read from (`loading.load`)."""
        return self._config_file

    @field_validator("trusted_key", mode="before")
    @classmethod
    def _split_pem(cls, value: object) -> object:
        return tuple(_PEM_ENDS.split(value.strip())) if is_pem(value) else cls._split(value)

    @field_validator("capability", "without", "capabilities_d", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(re.split(r"[,\s]+", value.strip())) if isinstance(value, str) and value.strip() else value or ()

    @field_validator("capability")
    @classmethod
    def _has_name(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not text.partition("=")[0]:
                raise ValueError(f"{text!r} has no name before the '='")
        return value

    @field_validator("trusted_key", "tls_ca", "tls_cert", "tls_key")
    @classmethod
    def _absolute_unless_text(cls, value: PEM | tuple[PEM, ...] | None) -> PEM | tuple[PEM, ...] | None:
        if isinstance(value, tuple):
            return tuple(_file_or_text(each) for each in value)
        return None if value is None else _file_or_text(value)

    @field_validator("capabilities_d")
    @classmethod
    def _absolute_all(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        own = value if has_home() else (path for path in value if path not in CAPABILITY_FOLDERS[1:])
        return tuple(absolute(path) for path in own)

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_url(value.get_secret_value())
        return value

    @field_validator("name")
    @classmethod
    def _host_name(cls, value: str) -> str:
        return value or host_name()

    @model_validator(mode="before")
    @classmethod
    def _state_before_basedir(cls, values: Any) -> Any:
        """Defaults that depend on other settings."""
        if isinstance(values, dict):
            name = values.get("name") or host_name()
            state = values.get("state") or default_state(str(name))
            builds = default_basedir(Path(str(state)), str(name), values.get("run_as"))
            values = {**values, "state": state, "basedir": values.get("basedir") or builds}
        return values

    @field_validator("state", "basedir", "amqp_url_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else absolute(value)


def host_name() -> str:
    """This host's, as a message can carry it."""
    return readable(socket.gethostname()) or "localhost"


def has_home() -> bool:
    """Is there a home folder for the defaults?"""
    try:
        Path("~").expanduser()
    except RuntimeError:  # HOME is not set, and the password database does not know this user
        return False
    return True


def is_pem(value: object) -> TypeGuard[str]:
    """Is it PEM's text (RFC 7468), not the name of a file?"""
    return isinstance(value, str) and value.lstrip().startswith(_PEM_BEGINS)


def _file_or_text(value: PEM) -> PEM:
    return value if is_pem(value) else absolute(Path(value))


def absolute(path: Path) -> Path:
    """Raises ValueError for a path that is none here."""
    try:
        return Path(os.path.abspath(path.expanduser()))
    except RuntimeError:
        raise ValueError(f"{path}: no such home directory is known; set HOME, or write the whole path") from None
    except OSError:
        raise ValueError(f"{path} is relative, and the working directory is gone; write the whole path") from None


def default_state(name: str) -> Path:
    """systemd's StateDirectory where there is one, else a folder of the user's (XDG base directory specification).

    The same on macOS, where platformdirs' own choice for the system would be another: an agent keeps its identity.
    Raises ValueError when neither is known.
    """
    if os.environ.get("STATE_DIRECTORY"):
        return Path(os.environ["STATE_DIRECTORY"].split(":")[0])
    if not os.environ.get("XDG_STATE_HOME") and not has_home():
        raise ValueError("no folder for the agent's state is known: give --state, or set HOME")
    from platformdirs.unix import Unix  # 0.4 MB of memory that whoever says where it is does without

    return absolute(Unix("worker-agent").user_state_path) / _folder_of(name)


def default_basedir(state: Path, name: str, run_as: object) -> Path:
    """Where builds run: another user's cannot be in the state folder, which that one cannot enter."""
    if isinstance(run_as, str):
        with contextlib.suppress(KeyError, ValueError):  # there is no such user: that is said when it is needed
            return Path(pwd.getpwnam(run_as).pw_dir) / "builds" / _folder_of(name)
    return state / "builds"


def _folder_of(name: str) -> str:
    """An agent's folder, called as it is."""
    folder = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")
    if folder != name:  # another agent's name may read the same then
        folder = f"{folder or 'agent'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    return folder


def check_url(url: str) -> None:
    """Raises ValueError, as pydantic wants it, that says what is wrong with an AMQP URL, without any part of it."""
    try:
        parse_agent_url(url)
    except BadURL as error:
        raise ValueError(str(error)) from None
