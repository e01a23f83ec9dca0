"""Can a broker be reached: name, port, TLS. Standard library only; blocking, for the doctors and operators' tools."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from contracts.operations.amqp_url import BrokerAddress
from contracts.operations.broker_failure import (
    BrokerFailure,
    certificate_failure,
    early_certificate,
    expired_authority,
    expired_certificate,
    network_failure,
    no_answer,
    other,
)
from contracts.operations.findings import Finding

#: Seconds for a connection.
TIMEOUT = 10.0
#: Seconds before the next address of a name is tried beside the one before (RFC 8305, section 5).
NEXT_ADDRESS = 0.25
#: Days of validity below which a certificate warns.
EXPIRES_SOON = 21


def open_socket(host: str, port: int, timeout: float = TIMEOUT) -> socket.socket:
    """A blocking socket to the first address of `host` that answers (happy eyeballs, RFC 8305). Raises OSError.

    In a thread of its own, because the caller's may have an event loop that runs.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, _open(host, port, timeout)).result()


async def _open(host: str, port: int, timeout: float) -> socket.socket:
    opening = asyncio.open_connection(host, port, happy_eyeballs_delay=NEXT_ADDRESS)
    try:
        _, writer = await asyncio.wait_for(opening, timeout)
    except asyncio.TimeoutError:  # in Python 3.10 not yet an OSError
        raise TimeoutError(f"no answer within {timeout:g} s") from None
    opened: socket.socket = writer.get_extra_info("socket").dup()
    writer.transport.abort()  # this loop's part only: the duplicate stays open
    await asyncio.sleep(0)
    opened.settimeout(timeout)
    return opened


def reach(address: BrokerAddress, context: Callable[[], ssl.SSLContext], *, ca: str) -> Iterator[Finding]:
    """Findings in order; ends with the first that failed. `context`: for TLS; `ca`: how its CA's setting is called."""
    host, port = address.host, address.port
    began = time.monotonic()
    try:
        found = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError) as error:
        yield failed(network_failure(error, address, ca=ca) or other(error, address))
        return
    seen = f"{host} is {', '.join(found)} ({(time.monotonic() - began) * 1000:.0f} ms)"
    yield Finding(check="name", verdict="pass", seen=seen)
    try:
        connection = open_socket(host, port)
    except OSError as error:
        yield failed(network_failure(error, address, ca=ca) or no_answer(address))
        return
    yield Finding(check="port", verdict="pass", seen=f"{connection.getpeername()[0]}, port {port}, answers")
    with connection:
        if not address.secure:
            local = found and all(each.startswith("127.") or each == "::1" for each in found)
            yield Finding(
                check="TLS",
                verdict="pass" if local else "warn",
                seen="not used" + (", on this machine only" if local else ""),
                remedy="" if local else "password and logs cross the network readable: use amqps://",
            )
            return
        yield _handshake(connection, address, context, ca)


def failed(failure: BrokerFailure) -> Finding:
    """A failure as a doctor's finding."""
    return Finding(check=failure.part, verdict="fail", seen=failure.seen, remedy=failure.remedy)


def _handshake(
    connection: socket.socket, address: BrokerAddress, context: Callable[[], ssl.SSLContext], ca: str
) -> Finding:
    try:
        made = context()
    except (OSError, ValueError) as error:
        return Finding(check="TLS", verdict="fail", seen=f"a file for TLS cannot be used: {error}",
                       remedy="correct --tls-ca, --tls-cert or --tls-key")  # fmt: skip
    try:
        with made.wrap_socket(connection, server_hostname=address.host) as secure:
            certificate = secure.getpeercert() or {}
            version = secure.version()
    except ssl.SSLCertVerificationError as error:
        return failed(looked_at(certificate_failure(error.verify_message, address, ca=ca), address, ca=ca))
    except (OSError, ValueError) as error:
        return failed(network_failure(error, address, ca=ca) or other(error, address))
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter")))
    days = (until - time.time()) / 86400
    return Finding(
        check="TLS",
        verdict="pass" if days > EXPIRES_SOON else "warn",
        seen=f"{version}, certificate verifies, valid for {days:.0f} days",
        remedy="" if days > EXPIRES_SOON else "renew the broker's certificate",
    )


#: In DER, `Validity` is a sequence of two times (RFC 5280, section 4.1.2.5): UTCTime or GeneralizedTime.
_TIME = rb"(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)"
_VALIDITY = re.compile(rb"\x30." + _TIME + _TIME, re.DOTALL)
#: Seconds for a second look at a certificate: a link, or a master's end, waits for it.
LOOK_TIMEOUT = 3.0


def looked_at(failure: BrokerFailure, address: BrokerAddress, *, ca: str) -> BrokerFailure:
    """`failure`, with what the certificate says of its time where that is why it was not believed. Blocks.

    Python tells nothing of a certificate that does not verify, and pyOpenSSL not why it does not. So it is asked for
    once more, and the certificate is not trusted.
    """
    validity = _validity(address) if failure.unverified else None
    if validity is None:
        return failure
    first, last = validity
    now = datetime.now(timezone.utc)
    if last < now:
        return expired_certificate(address, f"{last:%Y-%m-%d}")
    if now < first:
        return early_certificate(address, f"{first:%Y-%m-%d}")
    return expired_authority(address, ca) if failure == expired_certificate(address) else failure


def _validity(address: BrokerAddress) -> tuple[datetime, datetime] | None:
    """Of the certificate that the broker shows, the first and the last moment; None where it cannot be had."""
    try:
        pem = ssl.get_server_certificate((address.host, address.port), timeout=LOOK_TIMEOUT)
        found = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(pem))
        return None if found is None else (_moment(found[1], found[2]), _moment(found[3], found[4]))
    except (OSError, ValueError):
        return None


def _moment(short: bytes | None, long: bytes | None) -> datetime:
    """`short` has two digits of the year: 1950 to 2049."""
    digits = (long or b"").decode() if short is None else ("20" if short < b"50" else "19") + short.decode()
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=timezone.utc)
