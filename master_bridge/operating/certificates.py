"""Certificates for trying TLS: a CA of one's own, the broker's, and clients'. Not for use on the internet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from master_bridge.operating.errors import OperatingError


@dataclass(frozen=True, kw_only=True)
class Made:
    """PEM files. The CA's own key is not kept: who wants another certificate makes all anew."""

    ca: Path
    broker: Path
    broker_key: Path
    #: client -> file with certificate and key
    clients: dict[str, Path]


def make(folder: Path, hosts: Sequence[str], clients: Sequence[str]) -> Made:
    """Write them to `folder`, keys for their owner alone. Raises `OperatingError` where one is there already."""
    import trustme

    authority = trustme.CA(organization_name="Buildbot trial CA")
    broker = authority.issue_cert(*hosts, common_name=hosts[0])
    folder.mkdir(parents=True, exist_ok=True)
    made = Made(
        ca=folder / "ca.pem",
        broker=folder / "broker.pem",
        broker_key=folder / "broker.key",
        clients={name: folder / f"{name}.pem" for name in clients},
    )
    _write(made.ca, authority.cert_pem.bytes(), 0o644)
    _write(made.broker, b"".join(part.bytes() for part in broker.cert_chain_pems), 0o644)
    _write(made.broker_key, broker.private_key_pem.bytes(), 0o600)
    for name, path in made.clients.items():
        # RabbitMQ's EXTERNAL login takes the user from the common name
        own = authority.issue_cert(f"{name}.invalid", common_name=name)
        _write(path, own.private_key_and_cert_chain_pem.bytes(), 0o600)
    return made


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise OperatingError(f"{path}: {error.strerror}; choose an empty folder") from None
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def broker_settings(made: Made, *, port: int = 5671, require_client: bool = False) -> dict[str, str]:
    """Lines of rabbitmq.conf: TLS only, 1.2 and later."""
    return {
        "listeners.tcp": "none",
        "listeners.ssl.default": str(port),
        "ssl_options.cacertfile": str(made.ca),
        "ssl_options.certfile": str(made.broker),
        "ssl_options.keyfile": str(made.broker_key),
        "ssl_options.versions.1": "tlsv1.3",
        "ssl_options.versions.2": "tlsv1.2",
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true" if require_client else "false",
    }
