"""A worker's configuration file, as `master-bridge enroll` writes it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.program_version import version
from master_bridge.operating.errors import OperatingError


def new_password() -> str:
    """192 random bits, of characters that need no escaping anywhere."""
    return secrets.token_urlsafe(24)


def amqp_url(address: BrokerAddress, user: str, password: str) -> str:
    """The URL of `address` for another account."""
    scheme = "amqps" if address.secure else "amqp"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{scheme}://{user}:{password}@{host}:{address.port}/{quote(address.vhost, safe='')}"


def agent_config(name: str | None, url: str, *, ca: str | None, certificate: str | None, keys: Sequence[str]) -> str:
    """TOML for `worker-agent --config`. Certificates and keys are PEM text, or files' names on the worker's machine.

    `name` None: several machines share the account, each is called after itself.
    """
    settings: dict[str, object] = {"name": name} if name is not None else {}
    settings["auto_capabilities"] = True
    if ca:
        settings["tls_ca"] = ca
    if certificate:
        settings["tls_cert"] = certificate
    if keys:
        settings["trusted_key"] = list(keys)
    settings["amqp_url"] = (
        url  # the last line: no agent takes a file that was cut off, and believes less than it should
    )
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]  # JSON's texts and lists are TOML's
    who = f"worker agent {name}" if name is not None else "worker agents"
    head = f"# {who}: holds a password, keep it to the agent's user. Written by master-bridge {version()}."
    return "\n".join([head, *lines, ""])


def write_private(path: Path, text: str) -> None:
    """A new file for its owner alone. Raises `OperatingError` where there is one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise OperatingError(f"{path}: {error.strerror}; name another with --output") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
