"""URLs of post offices: read and checked in this one place, for agents and masters. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from contracts.errors import BadName
from contracts.operations.amqp_url import BadURL, BrokerAddress, parse_url
from contracts.operations.extras import how_to_install
from contracts.topology import check_user

#: Where a master listens unless its URL says otherwise.
PORT = 9990
#: Wires over TCP, as schemes, and those that are one with an `s`, over TLS.
WIRES = ("amp", "zmq")
TLS_WIRES = ("amp",)
#: ZeroMQ: always encrypted, by keys of its own (CURVE). Where a master listens then unless its URL says otherwise.
ZMQ, ZMQ_PORT = "zmq", 9991
#: What carries frames through programs: `ssh` to the master, and whatever joins an agent's `worker-agent attach`.
SSH, STDIO = "ssh", "stdio"
EXAMPLE = f"amps://user@master.example.org:{PORT}?fingerprint=sha256:…"
LISTEN_EXAMPLE = f"amp://0.0.0.0:{PORT}"
ZMQ_EXAMPLE = f"zmq://user:key@master.example.org:{ZMQ_PORT}?serverkey=…"
SSH_EXAMPLE = "ssh://buildbot@master.example.org/account"
STDIO_EXAMPLE = "stdio:account"
#: A CURVE key of ZeroMQ: 32 bytes.
_KEY = re.compile(r"[0-9a-f]{64}")
#: The SHA-256 of a certificate (DER), as OpenSSL and browsers show it, with or without colons.
_FINGERPRINT = re.compile(r"sha256:(?:[0-9a-f]{64}|[0-9a-f]{2}(?::[0-9a-f]{2}){31})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class OfficeAddress:
    """Where a post office is, and as whom to log in there."""

    wire: str
    host: str
    port: int
    user: str
    token: str | None = field(default=None, repr=False)
    #: over TLS
    secure: bool
    #: SHA-256 of the master's certificate in 64 small hexadecimal digits; None: an authority has signed it
    fingerprint: str | None
    #: whom `ssh` logs in as on the master's machine; None: as its own configuration says
    login: str | None = None
    #: over ZeroMQ, 64 hexadecimal digits each: the account's secret key, which nobody is sent, and the master's public
    #: one
    key: str = field(default="", repr=False)
    server_key: str = ""

    @property
    def listener(self) -> str:
        """Scheme, host and port: `amps://master.example.org:9990`; `stdio:` where a master comes to the agent."""
        if self.wire == STDIO:
            return f"{STDIO}:"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""  # ssh's may be in its configuration
        return f"{self.wire}{'s' if self.secure else ''}://{host}{port}"

    def __str__(self) -> str:
        """As a URL for logs and messages: without the token."""
        if self.wire in (SSH, STDIO):
            return f"{self.listener}{'/' if self.host else ''}{quote(self.user, safe='')}"
        scheme, _, rest = self.listener.partition("://")
        return f"{scheme}://{quote(self.user, safe='')}@{rest}"


@dataclass(frozen=True, kw_only=True)
class ListenAddress:
    """Where a master's post office listens. `tls` False, but over ZeroMQ: in plain text, on one's own machine only."""

    wire: str
    host: str
    port: int
    tls: bool

    @property
    def listener(self) -> str:
        """Scheme, host and port as agents write them: `amps://0.0.0.0:9990`; `ssh:` where nothing is listened on."""
        if self.wire == SSH:
            return f"{SSH}:"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.wire}{'s' if self.tls else ''}://{host}:{self.port}"


def is_office_url(url: str) -> bool:
    """Is it of a post office, by its scheme?"""
    scheme = url.strip().partition(":")[0]
    return scheme in (*WIRES, SSH, STDIO) or scheme.removesuffix("s") in WIRES


def parse_office_url(url: str) -> OfficeAddress:
    """An agent's URL, `amps://user:token@host:port?fingerprint=sha256:…`, `ssh://login@host:port/user` or `stdio:user`.

    Raises `BadURL`, without any secret.
    """
    if url.strip().startswith(f"{SSH}:"):
        return _parse_ssh(url.strip())
    if url.strip().startswith(f"{STDIO}:"):
        user = _account(url.strip().removeprefix(f"{STDIO}:"), STDIO_EXAMPLE)
        return OfficeAddress(wire=STDIO, host="", port=0, user=user, secure=False, fingerprint=None)
    scheme, host, port, parts = _parts(url, EXAMPLE)
    secure = scheme not in WIRES
    user = unquote(parts.username or "")
    if not user:
        raise BadURL(f"names no user; it looks like {EXAMPLE}")
    try:
        check_user(user)
    except BadName as error:
        raise BadURL(str(error)) from None
    token = unquote(parts.password) if parts.password else None
    if scheme == ZMQ:
        return _parse_zmq(host, port, user, token, _settings(parts.query, {"serverkey"}))
    settings = _settings(parts.query, {"fingerprint"})
    fingerprint = settings.get("fingerprint")
    if fingerprint is not None:
        if not secure:
            raise BadURL(f"a fingerprint is of a certificate, which {scheme}:// has none of; write {scheme}s://")
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise BadURL("fingerprint: write sha256: and 64 hexadecimal digits, as the master's log shows it")
        fingerprint = fingerprint[len("sha256:") :].replace(":", "").lower()
    return OfficeAddress(
        wire=scheme if not secure else scheme[:-1],
        host=host,
        port=port,
        user=user,
        token=token,
        secure=secure,
        fingerprint=fingerprint,
    )


def _parse_zmq(host: str, port: int, user: str, key: str | None, settings: dict[str, str]) -> OfficeAddress:
    for what, value in (("serverkey", settings.get("serverkey", "")), ("the account's key, as a password,", key or "")):
        if not _KEY.fullmatch(value.lower()):
            raise BadURL(f"{what} is not 64 hexadecimal digits; `master-bridge enroll` writes both: {ZMQ_EXAMPLE}")
    return OfficeAddress(
        wire=ZMQ,
        host=host,
        port=port,
        user=user,
        key=(key or "").lower(),
        secure=False,
        fingerprint=None,
        server_key=settings["serverkey"].lower(),
    )


def parse_listen_url(url: str) -> ListenAddress:
    """A master's URL, `amp://0.0.0.0:9990`; `?tls=off` is for this machine's own addresses. Raises `BadURL`.

    `ssh:` listens on no port: agents come by way of this machine's `sshd`, or are reached by `master-bridge reach`.
    """
    if url.strip() == f"{SSH}:":
        return ListenAddress(wire=SSH, host="", port=0, tls=False)
    if url.strip().startswith((f"{SSH}:", f"{STDIO}:")):
        raise BadURL(f"a master whose agents come by ssh has {SSH}: with nothing behind it: they come in at its sshd")
    scheme, host, port, parts = _parts(url, LISTEN_EXAMPLE)
    if parts.username is not None:
        raise BadURL("a user where a master listens: accounts are made by `master-bridge enroll`")
    if scheme == ZMQ:
        _settings(parts.query, set())
        return ListenAddress(wire=ZMQ, host=host, port=port, tls=False)
    tls = _settings(parts.query, {"tls"}).get("tls", "on")
    if tls not in ("on", "off"):
        raise BadURL("tls: write on or off")
    if tls == "off" and scheme not in WIRES:
        raise BadURL(f"{scheme}:// and tls=off say opposite things; leave one out")
    if tls == "off" and not _is_own(host):
        raise BadURL("tls=off sends tokens and commands in plain text: it is for 127.0.0.1, ::1 and localhost only")
    wire = scheme if scheme in WIRES else scheme[:-1]
    return ListenAddress(wire=wire, host=host, port=port, tls=tls == "on")


def _parse_ssh(url: str) -> OfficeAddress:
    if not all("!" <= letter <= "~" for letter in url):
        raise BadURL("it holds a space, a control character or one beyond ASCII; write each of these as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port or 0
    except ValueError:
        raise BadURL(f"behind the host's ':' is no port; it looks like {SSH_EXAMPLE}") from None
    # as it is written: urlsplit's `hostname` is in small letters, and ssh's configuration may name it otherwise
    host = parts.netloc.rpartition("@")[2].partition("]" if "[" in parts.netloc else ":")[0].lstrip("[")
    login = unquote(parts.username) if parts.username else None
    if parts.password is not None:
        raise BadURL("a password: ssh is asked for none here; it uses keys")
    if not host:
        raise BadURL(f"names no host; it looks like {SSH_EXAMPLE}")
    for what, text in (("host", host), ("login", login or "")):
        if text.startswith("-") or re.search(r"[^A-Za-z0-9_.:%-]", text):
            raise BadURL(f"its {what} cannot be given to ssh; it looks like {SSH_EXAMPLE}")
    if parts.query or parts.fragment:
        raise BadURL(f"something behind the account; it looks like {SSH_EXAMPLE}")
    user = _account(parts.path.removeprefix("/"), SSH_EXAMPLE)
    return OfficeAddress(wire=SSH, host=host, port=port, user=user, secure=False, fingerprint=None, login=login)


def _account(text: str, example: str) -> str:
    """Raises `BadURL`."""
    user = unquote(text)
    if not user:
        raise BadURL(f"names no account; it looks like {example}")
    try:
        return check_user(user)
    except BadName as error:
        raise BadURL(str(error)) from None


def _parts(url: str, example: str) -> tuple[str, str, int, SplitResult]:
    """Scheme, host and port, and the rest. Raises `BadURL`."""
    url = url.strip()
    if not is_office_url(url):
        known = [f"{wire}://" for wire in WIRES] + [f"{wire}s://" for wire in TLS_WIRES]
        raise BadURL(f"begins otherwise than {', '.join(sorted(known))}; it looks like {example}")
    scheme = url.partition("://")[0]
    if scheme not in WIRES and scheme[:-1] not in TLS_WIRES:
        raise BadURL(f"{scheme[:-1]}:// is always encrypted: leave out the s")
    default = ZMQ_PORT if scheme == ZMQ else PORT
    if scheme == ZMQ and find_spec("zmq") is None:
        raise BadURL(f"zmq:// needs the library pyzmq, which extra 'zmq' has: {how_to_install('zmq')}")
    if not all("!" <= letter <= "~" for letter in url):
        raise BadURL("it holds a space, a control character or one beyond ASCII; write each of these as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadURL(f"behind the host's ':' is no port; it looks like {example}") from None
    if not parts.hostname:
        raise BadURL(f"names no host; it looks like {example}")
    if parts.path not in ("", "/") or parts.fragment:
        raise BadURL(f"something behind host and port; it looks like {example}")
    if port == 0 and parts.username is not None:
        raise BadURL(f"port 0; a master listens on {default} unless its URL says otherwise")
    return parts.scheme, parts.hostname, default if port is None else port, parts


def _settings(query: str, known: set[str]) -> dict[str, str]:
    """What stands behind the '?'. Raises `BadURL` for what is not known, or given twice."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise BadURL(f"behind '?' stands what is no setting; {', '.join(sorted(known))} can") from None
    settings = dict(pairs)
    if not known and query:
        raise BadURL("behind host and port nothing can stand")
    if settings.keys() - known or len(settings) != len(pairs):
        raise BadURL(f"behind '?' only {', '.join(sorted(known))} can stand, once")
    return settings


def _is_own(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_agent_url(url: str) -> BrokerAddress | OfficeAddress:
    """Whichever of the two an agent's URL names. Raises `BadURL`, without any secret."""
    return parse_office_url(url) if is_office_url(url) else parse_url(url)
