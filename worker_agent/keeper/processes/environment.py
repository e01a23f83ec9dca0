"""The environment of commands: the agent's without the agent's secrets, then what the command asks for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

#: Variables of the agent itself: settings and credentials that no command may see.
_PRIVATE_PREFIXES = ("WORKER_AGENT_", "MASTER_BRIDGE_", "AMQP_", "RABBITMQ_", "AMQPS_")
_PRIVATE = frozenset(
    {"BUILDBOT_AMQP_COMMAND", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY"}
)
_REFERENCE = re.compile(r"\${([0-9a-zA-Z_]*)}")


def command_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The agent's environment without what is the agent's own: broker addresses, passwords, service manager handles."""
    return {
        name: value
        for name, value in environ.items()
        if name not in _PRIVATE and not name.startswith(_PRIVATE_PREFIXES)
    }


def build_environment(asked: Mapping[str, Any] | None, base: Mapping[str, str]) -> dict[str, str]:
    """What a command's `env` makes of `base`, as Buildbot's worker does it (buildbot_worker/runprocess.py).

    Lists are joined with the path separator, `${NAME}` is replaced by `base`'s value, None removes a variable and
    PYTHONPATH is put before what `base` has. Raises RuntimeError for a value that is none of these.
    """
    if not asked:
        return dict(base)
    wanted = {name: os.pathsep.join(value) if isinstance(value, list) else value for name, value in asked.items()}
    if "PYTHONPATH" in wanted:
        wanted["PYTHONPATH"] += os.pathsep + "${PYTHONPATH}"
    environ = {name: value for name, value in base.items() if wanted.get(name, "") is not None}
    for name, value in wanted.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise RuntimeError(f"'env' values must be strings or lists; key '{name}' is incorrect")
        environ[name] = _REFERENCE.sub(lambda match: base.get(match.group(1), ""), value)
    return environ
