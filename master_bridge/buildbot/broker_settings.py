"""What may be said of the broker in master.cfg, and what is wrong with it. Reads the files that are named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buildbot.interfaces import IRenderable

from contracts import timing
from contracts.errors import BadName
from contracts.operations.office_url import is_office_url
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES
from contracts.topology import check_name
from contracts.trust.signing import BadKey, Signer
from master_bridge.buildbot.traces.tracing import wrong_traces
from master_bridge.link.amqp.connection.endpoint import tls_options
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import (
    HEARTBEAT,
    PLAIN_WITH_TLS,
    URL_VARIABLE,
    TLSSettings,
    check_url,
    url_from_environment,
)

#: Characters of a master's name (`contracts.messages.Name`).
MASTER_MAX = 128
#: Bytes of `events_max_bytes`: below, a single event may find no room; above, it is a mistake.
EVENTS_LEAST = 1024 * 1024
EVENTS_MOST = 2**50
QUEUE_TYPES = ("classic", "quorum")
TLS_KEYS = ("ca", "certificate", "key")


def wrong_settings(
    url: Any = None,
    master: str | None = None,
    tls: dict[str, str] | None = None,
    moving_from: Any = None,
    moving_from_tls: dict[str, str] | None = None,
    queue_type: str = "classic",
    grace: float = timing.GRACE,
    heartbeat: int = HEARTBEAT,
    events_max_bytes: int = EVENTS_MAX_BYTES,
    signing_key: str | None = None,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
    traces: bool = False,
    **unknown: Any,
) -> Iterator[str]:
    """A sentence for each mistake, with the argument's name first."""
    for argument in unknown:
        yield f"{argument}: no such argument"
    if url is None:
        given = url_from_environment()
        if given is None:
            yield f"url: not given, and the environment variable {URL_VARIABLE} is not set"
        else:
            yield from (f"{problem} (of the environment variable {URL_VARIABLE})" for problem in _wrong_url(given))
    elif isinstance(url, str):
        yield from _wrong_url(url)
    elif not IRenderable.providedBy(url):
        yield f"url: a string, a Secret or an Interpolate, not {type(url).__name__}"
    if master is not None:
        try:
            check_name(master, "name")
        except (BadName, TypeError) as error:
            yield f"master: {error}"
        else:
            if len(master) > MASTER_MAX:
                yield f"master: {len(master)} characters, more than the {MASTER_MAX} that messages hold"
    place = url if url is not None else url_from_environment()
    yield from _wrong_tls(tls, place)
    yield from _wrong_place_to_leave(moving_from, moving_from_tls)
    if moving_from is None and isinstance(place, str) and is_office_url(place):
        yield from _of_rabbitmq_only(queue_type=queue_type != "classic", heartbeat=heartbeat != HEARTBEAT)
    if queue_type not in QUEUE_TYPES:
        yield f"queue_type: one of {', '.join(QUEUE_TYPES)}, not {queue_type!r}"
    if not _is_number(grace) or not 0 < grace <= 3600:
        yield f"grace: seconds, more than 0 and at most 3600, not {grace!r}"
    if not _is_whole(heartbeat) or not 1 <= heartbeat <= 600:
        yield f"heartbeat: whole seconds from 1 to 600, not {heartbeat!r}"
    if not _is_whole(events_max_bytes) or not EVENTS_LEAST <= events_max_bytes <= EVENTS_MOST:
        yield f"events_max_bytes: a whole number from {EVENTS_LEAST} (1 MiB) to 2**50, not {events_max_bytes!r}"
    if metrics_port is not None and (not _is_whole(metrics_port) or not 0 <= metrics_port <= 65535):
        yield f"metrics_port: a port number, not {metrics_port!r}"
    if not isinstance(metrics_host, str) or any(letter.isspace() for letter in metrics_host):
        yield f"metrics_host: an address of this machine, as 127.0.0.1 or 0.0.0.0, not {metrics_host!r}"
    if (problem := wrong_traces(traces)) is not None:
        yield problem
    if signing_key is not None:
        try:
            Signer.from_file(Path(signing_key))
        except (BadKey, TypeError) as error:
            yield f"signing_key: {error}"


def _wrong_url(url: str) -> Iterator[str]:
    try:
        check_url(url)
    except BadSettings as error:
        yield str(error)


def _of_rabbitmq_only(**given: bool) -> Iterator[str]:
    """`given`: arguments, and whether they say anything."""
    for argument in (argument for argument, says in given.items() if says):
        yield f"{argument}: it is for RabbitMQ, and with this url agents come to the master itself; leave it out"


def _wrong_place_to_leave(moving_from: Any, tls: Any) -> Iterator[str]:
    if isinstance(moving_from, str):
        yield from (f"moving_from: {problem.removeprefix('url: ')}" for problem in _wrong_url(moving_from))
    elif moving_from is not None and not IRenderable.providedBy(moving_from):
        yield f"moving_from: a string, a Secret or an Interpolate, not {type(moving_from).__name__}"
    elif moving_from is None and tls is not None:
        yield "moving_from_tls: given without moving_from; leave it out"
    yield from (f"moving_from_{problem}" for problem in _wrong_tls(tls, moving_from))


def _wrong_tls(tls: Any, url: Any) -> Iterator[str]:
    """Files are read, too: what cannot be used is told now, not when the broker is asked."""
    if tls is None:
        return
    if not isinstance(tls, dict) or not all(key in TLS_KEYS and isinstance(tls[key], str) for key in tls):
        yield f"tls: a dictionary of file names with the keys {', '.join(TLS_KEYS)}, not {tls!r}"
        return
    if "key" in tls and "certificate" not in tls:
        yield "tls: a key without a certificate"
    if isinstance(url, str) and url.strip().startswith("amqp://"):
        yield PLAIN_WITH_TLS
    files = {key: Path(path) for key, path in tls.items()}
    problems = [f"tls.{key}: {problem}" for key, path in files.items() if (problem := _unreadable(path)) is not None]
    if not problems:
        try:
            tls_options("broker", TLSSettings(**tls))
        except BadSettings as error:
            problems.append(str(error))
    yield from problems


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:  # a name with a NUL
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def default_master_name(buildbot_name: str) -> str:
    """Buildbot's master name (`host:/folder`) as one word of a routing key."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", buildbot_name).strip("-")[-128:] or "master"
