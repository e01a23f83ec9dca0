"""AMQP URLs (https://www.rabbitmq.com/docs/uri-spec): read and checked in this one place. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from contracts.errors import BadName, ContractError
from contracts.topology import check_user

#: Ports of RabbitMQ's listeners, without and with TLS.
PORT, TLS_PORT = 5672, 5671
EXAMPLE = "amqp://user:password@host:5672/vhost"
_ESCAPES = (
    "in a user's name, a password and a virtual host write each of these as %XX: "
    "/ %2F, @ %40, : %3A, ? %3F, # %23, [ %5B, ] %5D, % %25, a space %20 (Python: urllib.parse.quote(text, safe=''))"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_END_OF_AUTHORITY = re.compile(r"[/?#]")
#: What RFC 3986 lets stand in no userinfo, beside those that end it.
_RESERVED = re.compile(r"[\[\]<>\"\\^`{|}]")


class BadURL(ContractError):
    """An AMQP URL cannot be used. The message holds no part of the URL but scheme and host: it may have a password."""


@dataclass(frozen=True, kw_only=True)
class BrokerAddress:
    """Where a broker is, and as whom to log in there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    secure: bool

    def __str__(self) -> str:
        """As a URL for logs and messages: without the password."""
        user = quote(self.user, safe="")
        return f"{self._scheme}://{user}@{self._host_and_port}/{quote(self.vhost, safe='')}"

    @property
    def listener(self) -> str:
        """Scheme, host and port: `amqps://broker.example.org:5671`."""
        return f"{self._scheme}://{self._host_and_port}"

    @property
    def _scheme(self) -> str:
        return "amqps" if self.secure else "amqp"

    @property
    def _host_and_port(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(url: str) -> BrokerAddress:
    """The parts of an AMQP URL; an empty path is vhost `/`, no user is `guest`. Raises `BadURL`."""
    url = url.strip()
    if not url.startswith(("amqp://", "amqps://")):
        scheme = re.match(r"[a-z]{1,10}://", url)
        begins = f"begins with {scheme[0]} where" if scheme else "begins otherwise than"
        raise BadURL(f"{begins} amqp:// or amqps:// was expected; it looks like {EXAMPLE}")
    _check_escapes(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadURL("behind the host's ':' is no port; " + _ESCAPES) from None
    if not parts.hostname:
        raise BadURL(f"names no host; it looks like {EXAMPLE}")
    if port == 0:
        raise BadURL("port 0; a broker listens on 5672, with TLS on 5671, or on another one up to 65535")
    secure = parts.scheme == "amqps"
    path = parts.path[1:]
    if "/" in path:
        raise BadURL("the virtual host holds a '/'; write it as %2F")
    try:
        check_user(unquote(parts.username or ""))
    except BadName as error:
        raise BadURL(str(error)) from None
    return BrokerAddress(
        host=parts.hostname,
        port=port or (TLS_PORT if secure else PORT),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password if parts.password is not None else "guest"),
        vhost=unquote(path) or "/",
        secure=secure,
    )


def _check_escapes(url: str) -> None:
    """Raise `BadURL` for characters that a URL holds as %XX only: as they are they mean something else."""
    rest = url.partition("://")[2]
    authority, _, path = _END_OF_AUTHORITY.sub("\0", rest, count=1).partition("\0")
    if not all("!" <= letter <= "~" for letter in rest):
        raise BadURL("it holds a space, a control character or one beyond ASCII; " + _ESCAPES)
    if _BAD_ESCAPE.search(rest):
        raise BadURL("a '%' without two hexadecimal digits behind it; write '%' itself as %25")
    if "@" in path or authority.count("@") > 1:
        raise BadURL("an '@' where none can be; " + _ESCAPES)
    if "?" in rest or "#" in rest:
        raise BadURL("a '?' or '#'; settings are no part of it; " + _ESCAPES)
    user = authority.rpartition("@")[0]
    if _RESERVED.search(user) or user.count(":") > 1:
        raise BadURL("a character that wants escaping in the user's name or password; " + _ESCAPES)


def has_password(url: str) -> bool:
    """Does somebody who reads `url` read a password? False for what is no URL."""
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False
