"""Why a broker cannot be had, in words for people: what is wrong, with which account and vhost, and what to do.

Both sides' links, both doctors and the operators' tools say it through this. Each translates its AMQP library's
exceptions to what is asked for here; no library's text goes through as it is. What is said does not depend on
addresses, process ids or ports of ours, so that a caller may compare it with what was said before and be silent.
Standard library only.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from contracts.operations.amqp_url import BrokerAddress

#: What failed, in the order in which it is tried; the doctors' names for their checks.
Part = Literal["name", "port", "TLS", "AMQP", "login", "vhost", "limits", "permissions", "connection"]

#: In Python 3.10 two classes.
_TOO_LATE = TimeoutError, asyncio.TimeoutError
#: Characters kept of a text that somebody else wrote.
TEXT_MAX = 300
#: What differs from one try to the next: Erlang's process ids and Python's addresses …
_FLEETING = re.compile(r"<\d+\.\d+\.\d+>|\bat 0x[0-9a-fA-F]+|0x[0-9a-fA-F]{6,}")
#: … and the ends of names that are made for one connection: an agent's control queue, a queue that the broker names.
_OF_ONE_TRY = re.compile(r"\b(agent\.[^.\s']+\.|amq\.gen-)[^\s']+")
#: RabbitMQ begins its texts with the name of the reply code: `NOT_ALLOWED - vhost x not found`.
_CODE_NAME = re.compile(r"^[A-Z_]+ - ")

#: Reply codes of AMQP 0-9-1 (section 1.2, "reply-code").
CONNECTION_FORCED, ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED = 320, 403, 404, 405
PRECONDITION_FAILED, NOT_ALLOWED = 406, 530

_ENROLL = "`master-bridge enroll` makes accounts and sets their permissions"
_WAITS = "it is tried again; the broker's log says more"


class Contacted(Protocol):
    """Whom a connection was for: a broker, or a master that listens itself."""

    @property
    def host(self) -> str: ...

    @property
    def listener(self) -> str:
        """Scheme, host and port."""


@dataclass(frozen=True, kw_only=True)
class BrokerFailure:
    """`seen`: what is wrong, with which account and vhost. `remedy`: what to do. Never holds a password.

    `unverified`: of a certificate that was not believed; what it says of its time is to be looked at
    (`reachability.looked_at`).
    """

    part: Part
    seen: str
    remedy: str
    unverified: bool = False

    def __str__(self) -> str:
        return f"{self.seen}: {self.remedy}"


def plain(text: object) -> str:
    """A text that somebody else wrote on one line, printable, bounded, and without what differs between two tries."""
    line = " ".join(_OF_ONE_TRY.sub(r"\1*", _FLEETING.sub("", str(text))).split())
    shown = "".join(character if character.isprintable() else "?" for character in line)
    return shown if len(shown) <= TEXT_MAX else shown[: TEXT_MAX - 1] + "…"


def _said(text: str) -> str:
    return _CODE_NAME.sub("", plain(text)) or "it gave no reason"


# -- below AMQP ------------------------------------------------------------------------------------------------------


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it, each once: a library's chains may be rings, or hide an error among the arguments."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [argument for argument in each.args if isinstance(argument, BaseException)]
        waiting += getattr(each, "exceptions", ())  # of an ExceptionGroup
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]


def network_failure(error: BaseException, address: Contacted, *, ca: str) -> BrokerFailure | None:
    """What a failure of name, socket or TLS means; None for what is none. `ca`: how the setting of the CA is called."""
    found = list(causes(error))
    for each in found:
        if isinstance(each, ssl.SSLCertVerificationError):
            return certificate_failure(each.verify_message, address, ca=ca)
        if isinstance(each, ssl.SSLError):
            return tls_failure(getattr(each, "reason", None) or str(each), address)
        if isinstance(each, socket.gaierror):
            return name_failure(address, again=each.errno == socket.EAI_AGAIN)
        if isinstance(each, UnicodeError):  # of a host that is no name: IDNA
            return name_failure(address)
    numbers = {number for each in found if isinstance(each, OSError) for number in _numbers(each)}
    return _socket_failure(numbers, found, address)


def _numbers(error: OSError) -> set[int]:
    """Of several addresses asyncio tells in a text: `Multiple exceptions: [Errno 111] Connect call failed …, …`."""
    if error.errno is not None:
        return {error.errno}
    return {int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))}


def _socket_failure(numbers: set[int], found: list[BaseException], address: Contacted) -> BrokerFailure | None:
    if errno.ECONNREFUSED in numbers:
        return refused_connection(address)
    if numbers & {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN}:
        return BrokerFailure(
            part="port",
            seen=f"there is no way from this machine to {address.listener}",
            remedy="correct the host of the AMQP URL, or repair this machine's network",
        )
    if numbers & {errno.ETIMEDOUT} or any(isinstance(each, _TOO_LATE) for each in found):
        return no_answer(address)
    if numbers & {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
        return lost(address)
    for each in found:
        if isinstance(each, OSError) and each.errno is not None:
            return BrokerFailure(
                part="port",
                seen=f"cannot connect to {address.listener}: {plain(each.strerror or each)}",
                remedy="repair that on this machine",
            )
    return None


def name_failure(address: Contacted, *, again: bool = False) -> BrokerFailure:
    """The host's name could not be looked up. `again`: no name server answered."""
    seen = f"the name of the broker's host, {plain(address.host)!r}, cannot be resolved"
    if again:
        seen += " (no name server answers)"
    return BrokerFailure(
        part="name", seen=seen, remedy="correct the host of the AMQP URL, or this machine's name resolution"
    )


def refused_connection(address: Contacted) -> BrokerFailure:
    """Connection refused, at each of the name's addresses."""
    return BrokerFailure(
        part="port",
        seen=f"nothing listens at {address.listener} (connection refused)",
        remedy="start the broker, or correct host and port of the AMQP URL",
    )


def no_answer(address: Contacted) -> BrokerFailure:
    """None of the name's addresses answered in time."""
    return BrokerFailure(
        part="port",
        seen=f"{address.listener} did not answer in time",
        remedy="is the broker running, and does a firewall let this machine through?",
    )


def certificate_failure(why: str, address: Contacted, *, ca: str) -> BrokerFailure:
    """The broker's certificate is not one that we believe. `why`: OpenSSL's words; `ca`: our setting's name."""
    if "certificate has expired" in why:
        return expired_certificate(address)
    if "not yet valid" in why:
        return early_certificate(address)
    return BrokerFailure(
        part="TLS",
        seen=f"the certificate of {address.listener} does not verify ({plain(why).rstrip('.')})",
        remedy=f"give the CA that signed it with {ca}, or correct the host name in the URL",
        unverified=True,
    )


def expired_certificate(address: Contacted, until: str | None = None) -> BrokerFailure:
    """`until`: its last day, for people, where that is known."""
    return BrokerFailure(
        part="TLS",
        seen=f"the certificate of {address.listener} has expired" + (f" (valid until {until})" if until else ""),
        remedy="renew it, or its authority's if that is what has expired; is the clock of this machine right?",
        unverified=True,
    )


def expired_authority(address: Contacted, ca: str) -> BrokerFailure:
    """The certificate itself has time left."""
    return BrokerFailure(
        part="TLS",
        seen=f"the certificate of an authority that signed that of {address.listener} has expired",
        remedy=f"renew the authority's certificate, at the broker and in what {ca} names",
    )


def early_certificate(address: Contacted, since: str | None = None) -> BrokerFailure:
    """`since`: its first day, for people, where that is known."""
    return BrokerFailure(
        part="TLS",
        seen=f"the certificate of {address.listener} is not yet valid" + (f" (valid from {since})" if since else ""),
        remedy="set the clock of this machine, or wait for the certificate's first day",
        unverified=True,
    )


def tls_failure(reason: str, address: Contacted) -> BrokerFailure:
    """`reason`: OpenSSL's, "WRONG_VERSION_NUMBER" or "tlsv13 alert certificate required"."""
    words = plain(reason).replace("_", " ").lower()
    if "alert" in words and ("certificate" in words or "unknown ca" in words or "handshake failure" in words):
        return BrokerFailure(
            part="TLS",
            seen=f"{address.listener} refuses our certificate, or asks for one ({words})",
            remedy="give a certificate, and its key, that an authority of the broker's has signed",
        )
    if any(sign in words for sign in ("wrong version number", "record layer failure", "http request", "packet length",
                                      "unexpected eof", "eof occurred", "unknown protocol")):  # fmt: skip
        return BrokerFailure(
            part="TLS",
            seen=f"{address.listener} does not speak TLS",
            remedy="give the port of the broker's TLS listener (5671 unless configured), or amqp:// if it has none",
        )
    return BrokerFailure(
        part="TLS",
        seen=f"TLS with {address.listener} fails ({words})",
        remedy="let both sides have a version of TLS and a cipher in common",
    )


# -- the broker's own words ------------------------------------------------------------------------------------------


def not_amqp(first: bytes, address: BrokerAddress) -> BrokerFailure | None:
    """What answered with these first bytes (some 8 of them) is no AMQP 0-9-1 broker; None: it is one.

    AMQP 0-9-1, section 4.2.2: a broker answers with a method frame on channel 0, or with the header of the version that
    it speaks instead.
    """
    if not first or first.startswith(b"\x01\x00\x00"[: len(first)]):
        return None
    if first.startswith(b"AMQP"):
        what, remedy = "speaks another version of AMQP than 0-9-1", "give the address of a RabbitMQ broker"
    elif first[0] in (0x15, 0x16) and first[1:2] in (b"", b"\x03"):
        what, remedy = "speaks TLS", "write amqps:// in the AMQP URL, or give the port of the listener without TLS"
    else:
        kind = {b"HTTP": " (it speaks HTTP)", b"SSH-": " (it speaks SSH)"}.get(first[:4], "")
        what, remedy = (
            f"does not speak AMQP{kind}",
            f"correct the port: RabbitMQ's are {5671 if address.secure else 5672}",
        )
    return BrokerFailure(part="AMQP", seen=f"{address.listener} {what}", remedy=remedy)


def silent(address: BrokerAddress, *, closed: bool) -> BrokerFailure:
    """It took the connection and said nothing of AMQP; `closed`: then it closed it, else we did after some time."""
    how = "closes it before a word" if closed else "then says nothing"
    return BrokerFailure(
        part="AMQP",
        seen=f"{address.listener} accepts a connection and {how}",
        remedy="is that the broker's port, is it amqp:// or amqps:// there, and is the broker up and below its limits?",
    )


def no_password_login(mechanisms: str, address: BrokerAddress) -> BrokerFailure:
    """The broker offers no mechanism that takes a password. `mechanisms`: those it offers."""
    return BrokerFailure(
        part="login",
        seen=f"{address.listener} lets nobody log in with a password (it offers {plain(mechanisms)})",
        remedy="add PLAIN to auth_mechanisms in the broker's rabbitmq.conf",
    )


def connection_closed(code: int, text: str, address: BrokerAddress) -> BrokerFailure:
    """The broker closed the connection (`connection.close`), at login or later. Texts: RabbitMQ 3.10 to 4.3."""
    said = _said(text)
    where = address.listener
    if code == ACCESS_REFUSED:
        return _login_refused(said, address)
    if "limit" in said and code in (NOT_ALLOWED, ACCESS_REFUSED):
        return BrokerFailure(
            part="limits",
            seen=f"{where} takes no more of user {address.user!r} in vhost {address.vhost!r}: {said}",
            remedy="end some connections, or raise that limit (rabbitmqctl set_vhost_limits, set_user_limits)",
        )
    if code == NOT_ALLOWED and "not found" in said:
        return BrokerFailure(
            part="vhost",
            seen=f"there is no vhost {address.vhost!r} at {where}, as user {address.user!r} asks for",
            remedy="correct the vhost of the AMQP URL, or make it: rabbitmqctl add_vhost",
        )
    if "is down" in said:
        return BrokerFailure(
            part="vhost", seen=f"vhost {address.vhost!r} is down at {where}", remedy="rabbitmqctl restart_vhost"
        )
    if code == NOT_ALLOWED and "access to vhost" in said:
        return BrokerFailure(
            part="vhost",
            seen=f"user {address.user!r} may not use vhost {address.vhost!r} at {where}",
            remedy=f"correct user and vhost of the AMQP URL; {_ENROLL}",
        )
    if code == CONNECTION_FORCED:
        return BrokerFailure(part="connection", seen=f"{where} ended the connection ({said})", remedy=_WAITS)
    return BrokerFailure(part="connection", seen=f"{where} closed the connection: {code}, {said}", remedy=_WAITS)


def _login_refused(said: str, address: BrokerAddress) -> BrokerFailure:
    seen = f"{address.listener} refuses the login of user {address.user!r}"
    remedy = f"check user and password of the AMQP URL; {_ENROLL}"
    if address.user == "guest":
        remedy += "; RabbitMQ lets 'guest' in from its own machine only: use another account elsewhere"
    if "refused using authentication mechanism" not in said:
        seen += f" ({said})"  # not the usual words for a wrong password: a backend of another kind
    return BrokerFailure(part="login", seen=seen, remedy=remedy)


def channel_closed(code: int, text: str, address: BrokerAddress) -> BrokerFailure:
    """The broker refused what was asked on a channel (`channel.close`)."""
    said = _said(text)
    if code == ACCESS_REFUSED:
        return BrokerFailure(
            part="permissions",
            seen=f"user {address.user!r} lacks a permission in vhost {address.vhost!r} ({said})",
            remedy=_ENROLL,
        )
    if code == NOT_FOUND:
        return BrokerFailure(
            part="permissions",
            seen=f"{said} (asked by user {address.user!r})",
            remedy="a master makes it when it connects: start one",
        )
    return BrokerFailure(
        part="connection", seen=f"the broker refused user {address.user!r} a request: {code}, {said}", remedy=_WAITS
    )


def lost(address: Contacted) -> BrokerFailure:
    """The connection ended without a word of the broker's."""
    return BrokerFailure(
        part="connection",
        seen=f"the connection to {address.listener} broke",
        remedy="it is tried again; the broker or something between ended it without a reason",
    )


def unheard(address: Contacted) -> BrokerFailure:
    """Heartbeats did not come."""
    return BrokerFailure(
        part="connection",
        seen=f"nothing was heard of {address.listener} for several heartbeats",
        remedy="it is tried again; look at the network between and at the broker",
    )


def other(error: object, address: Contacted) -> BrokerFailure:
    """Anything else: its text, made harmless."""
    text = plain(error) or type(error).__name__
    return BrokerFailure(part="connection", seen=f"the link to {address.listener} failed ({text})", remedy=_WAITS)
