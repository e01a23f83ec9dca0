"""What may be said of the broker in master.cfg, and what is wrong with what was said. Reads the signing key only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buildbot.interfaces import IRenderable

from contracts import timing
from contracts.errors import BadName
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES
from contracts.signing import BadKey, Signer
from contracts.topology import check_name
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import HEARTBEAT, URL_VARIABLE, parse_url, url_from_environment

QUEUE_TYPES = ("classic", "quorum")
TLS_KEYS = ("ca", "certificate", "key")


def wrong_settings(
    url: Any = None,
    master: str | None = None,
    tls: dict[str, str] | None = None,
    queue_type: str = "classic",
    grace: float = timing.GRACE,
    heartbeat: int = HEARTBEAT,
    events_max_bytes: int = EVENTS_MAX_BYTES,
    signing_key: str | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    **unknown: Any,
) -> Iterator[str]:
    """A sentence for each mistake, with the argument's name first."""
    for argument in unknown:
        yield f"{argument}: no such argument"
    if url is None:
        if url_from_environment() is None:
            yield f"url: not given, and the environment variable {URL_VARIABLE} is not set"
    elif isinstance(url, str):
        try:
            parse_url(url)
        except BadSettings as error:
            yield str(error)
    elif not IRenderable.providedBy(url):
        yield f"url: a string, a Secret or an Interpolate, not {type(url).__name__}"
    if master is not None:
        try:
            check_name(master, "name")
        except (BadName, TypeError) as error:
            yield f"master: {error}"
    if tls is not None and (
        not isinstance(tls, dict) or not all(key in TLS_KEYS and isinstance(tls[key], str) for key in tls)
    ):
        yield f"tls: a dictionary of file names with the keys {', '.join(TLS_KEYS)}, not {tls!r}"
    elif tls and "key" in tls and "certificate" not in tls:
        yield "tls: a key without a certificate"
    if queue_type not in QUEUE_TYPES:
        yield f"queue_type: one of {', '.join(QUEUE_TYPES)}, not {queue_type!r}"
    if not _is_number(grace) or not 0 < grace <= 3600:
        yield f"grace: seconds, more than 0 and at most 3600, not {grace!r}"
    if not isinstance(heartbeat, int) or isinstance(heartbeat, bool) or not 1 <= heartbeat <= 600:
        yield f"heartbeat: whole seconds from 1 to 600, not {heartbeat!r}"
    if not isinstance(events_max_bytes, int) or events_max_bytes < 1024 * 1024:
        yield f"events_max_bytes: at least 1 MiB, not {events_max_bytes!r}"
    if metrics_port is not None and (not isinstance(metrics_port, int) or not 0 <= metrics_port <= 65535):
        yield f"metrics_port: a port number, not {metrics_port!r}"
    if signing_key is not None:
        try:
            Signer.from_file(Path(signing_key))
        except (BadKey, TypeError) as error:
            yield f"signing_key: {error}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
