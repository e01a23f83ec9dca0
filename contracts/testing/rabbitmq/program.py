"""Where RabbitMQ's server program is, of whatever version. Standard library only."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

#: Where packages put the programs themselves, beside wrappers in /usr/sbin that switch the user.
_SERVERS = ("/usr/lib/rabbitmq/bin", "/usr/local/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")


class NodeError(Exception):
    """A private RabbitMQ node could not be started or controlled."""


class BrokerMissing(NodeError):
    """RabbitMQ's server is not installed."""


def server_command() -> list[str]:
    """The command that starts RabbitMQ's server, of whatever version is there.

    `RABBITMQ_SERVER` (a path, or a command such as `chroot DIR /usr/lib/rabbitmq/bin/rabbitmq-server`) comes first.
    Distributions' wrappers that switch the user are passed over. Raises `BrokerMissing`.
    """
    if chosen := os.environ.get("RABBITMQ_SERVER"):
        return shlex.split(chosen)
    folders = [*_SERVERS, *os.environ.get("PATH", "").split(os.pathsep), *sorted(map(str, Path("/opt").glob("*/sbin")))]
    for folder in folders:
        path = Path(folder, "rabbitmq-server")
        if os.access(path, os.X_OK) and path.resolve().name != "rabbitmq-script-wrapper":
            return [str(path)]
    raise BrokerMissing(
        "RabbitMQ's server is not installed on this machine. Install the package rabbitmq-server"
        " (Debian, Ubuntu: apt-get install --no-install-recommends rabbitmq-server; macOS: brew install rabbitmq),"
        " or name its rabbitmq-server program in the environment variable RABBITMQ_SERVER."
    )
