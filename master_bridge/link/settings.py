"""How to reach the broker and how to set up its queues: one frozen object, checked when it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from contracts.errors import BadName
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES, QueueType
from contracts.topology import check_name, check_user
from master_bridge.link.errors import BadSettings

#: Environment variable with the broker's URL when the configuration names none.
URL_VARIABLE = "BUILDBOT_AMQP_URL"
#: Seconds between heartbeats: a dead connection is noticed after about twice this.
HEARTBEAT = 10


@dataclass(frozen=True, kw_only=True)
class TLSSettings:
    """Files in PEM. `ca` None: the system's authorities; certificate and key None: no client certificate."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """Where the broker is and what our queues look like there. Raises `BadSettings` naming the wrong argument."""

    #: amqp://user:password@host:port/vhost, or amqps://…; kept out of every log
    url: str = field(repr=False)
    master: str
    tls: TLSSettings | None = None
    queue_type: QueueType = "classic"
    heartbeat: int = HEARTBEAT
    events_max_bytes: int = EVENTS_MAX_BYTES
    #: PEM file of the Ed25519 key that signs what is sent to agents; None: not signed
    signing_key: str | None = None

    def __post_init__(self) -> None:
        parse_url(self.url)
        try:
            check_name(self.master, "master")
        except BadName as error:
            raise BadSettings(f"master: {error}") from None

    @property
    def address(self) -> BrokerAddress:
        return parse_url(self.url)


@dataclass(frozen=True, kw_only=True)
class BrokerAddress:
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    secure: bool

    def __str__(self) -> str:
        """For logs and messages: without the password."""
        return f"{'amqps' if self.secure else 'amqp'}://{self.user}@{self.host}:{self.port}/{self.vhost}"


def parse_url(url: str) -> BrokerAddress:
    """The parts of an AMQP URL (RabbitMQ's URI specification: an empty path is vhost '/').

    Raises `BadSettings`; its message never repeats the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadSettings(f"url: {error}; it looks like amqp://user:password@host:5672/vhost") from None
    if parts.scheme not in ("amqp", "amqps"):
        raise BadSettings(f"url: scheme {parts.scheme!r}; it starts with amqp:// or amqps://")
    if not parts.hostname:
        raise BadSettings("url: no host name; it looks like amqp://user:password@host:5672/vhost")
    secure = parts.scheme == "amqps"
    path = parts.path[1:]
    if "/" in path:
        raise BadSettings("url: the virtual host holds a '/'; write it as %2F")
    try:
        check_user(unquote(parts.username or ""))
    except BadName as error:
        raise BadSettings(f"url: {error}") from None
    return BrokerAddress(
        host=parts.hostname,
        port=port or (5671 if secure else 5672),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password if parts.password is not None else "guest"),
        vhost=unquote(path) or "/",
        secure=secure,
    )


def url_from_environment(environment: Any = os.environ) -> str | None:
    """The URL in BUILDBOT_AMQP_URL, None when it is not set."""
    return environment.get(URL_VARIABLE) or None
