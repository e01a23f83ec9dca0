"""How to reach the broker and how to set up its queues: one frozen object, checked when it is made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from contracts.errors import BadName
from contracts.rabbitmq.arguments import EVENTS_MAX_BYTES, QueueType
from contracts.topology import check_name, check_user
from master_bridge.link.errors import BadSettings

#: Environment variable with the broker's URL when the configuration names none.
URL_VARIABLE = "BUILDBOT_AMQP_URL"
_ESCAPES = (
    "in a user's name, a password and a virtual host write each of these as %XX: "
    "/ %2F, @ %40, : %3A, ? %3F, # %23, [ %5B, ] %5D, % %25, a space %20 (Python: urllib.parse.quote(text, safe=''))"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_END_OF_AUTHORITY = re.compile(r"[/?#]")
#: What RFC 3986 lets stand in no userinfo, beside those that end it.
_RESERVED = re.compile(r"[\[\]<>\"\\^`{|}]")
#: Seconds between heartbeats: a dead connection is noticed after about twice this.
HEARTBEAT = 10


PLAIN_WITH_TLS = "tls: given with amqp://, which is plain text; write amqps:// in the URL, or leave tls out"


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
        if self.tls is not None and not self.address.secure:
            raise BadSettings(PLAIN_WITH_TLS)
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

    Raises `BadSettings`; its message never repeats any part of the URL, which may be one of the password.
    """
    url = url.strip()
    if not url.startswith(("amqp://", "amqps://")):
        raise BadSettings(
            "url: it starts with amqp:// or amqps://, and looks like amqp://user:password@host:5672/vhost"
        )
    _check_escapes(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadSettings("url: behind the host's ':' is no port; " + _ESCAPES) from None
    if not parts.hostname:
        raise BadSettings("url: no host name; it looks like amqp://user:password@host:5672/vhost")
    if port == 0:
        raise BadSettings("url: port 0; a broker listens on 5672, with TLS on 5671, or on another one up to 65535")
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


def _check_escapes(url: str) -> None:
    """Raise `BadSettings` for characters that a URL holds as %XX only: as they are they mean something else."""
    rest = url.partition("://")[2]
    authority, _, path = _END_OF_AUTHORITY.sub("\0", rest, count=1).partition("\0")
    if not all("!" <= letter <= "~" for letter in rest):
        raise BadSettings("url: it holds a space, a control character or one beyond ASCII; " + _ESCAPES)
    if _BAD_ESCAPE.search(rest):
        raise BadSettings("url: a '%' without two hexadecimal digits behind it; write '%' itself as %25")
    if "@" in path or authority.count("@") > 1:
        raise BadSettings("url: an '@' where none can be; " + _ESCAPES)
    if "?" in rest or "#" in rest:
        raise BadSettings("url: a '?' or '#'; AMQPBroker takes settings as arguments, not in the URL; " + _ESCAPES)
    user = authority.rpartition("@")[0]
    if _RESERVED.search(user) or user.count(":") > 1:
        raise BadSettings("url: a character that wants escaping in the user's name or password; " + _ESCAPES)


def url_from_environment(environment: Any = os.environ) -> str | None:
    """The URL in BUILDBOT_AMQP_URL, None when it is not set."""
    return environment.get(URL_VARIABLE) or None
