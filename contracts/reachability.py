"""Can a broker be reached: name, port, TLS. Standard library only; blocking, for the doctors."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator

from contracts.findings import Finding

#: Seconds for a connection.
TIMEOUT = 10.0
#: Days of validity below which a certificate warns.
EXPIRES_SOON = 21


def reach(host: str, port: int, context: Callable[[], ssl.SSLContext] | None) -> Iterator[Finding]:
    """Findings in order; ends with the first that failed. `context`: None for a broker without TLS."""
    began = time.monotonic()
    try:
        found = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except OSError as error:
        yield Finding(
            check="name",
            verdict="fail",
            seen=f"{host}: {error}",
            remedy="correct the host of the AMQP URL, or this machine's name resolution",
        )
        return
    seen = f"{host} is {', '.join(found)} ({(time.monotonic() - began) * 1000:.0f} ms)"
    yield Finding(check="name", verdict="pass", seen=seen)
    try:
        connection = socket.create_connection((host, port), timeout=TIMEOUT)
    except OSError as error:
        yield Finding(
            check="port",
            verdict="fail",
            seen=f"{host}:{port}: {error}",
            remedy="is the broker running, and does a firewall let this machine through?",
        )
        return
    yield Finding(check="port", verdict="pass", seen=f"{host}:{port} answers")
    with connection:
        if context is None:
            local = found and all(address.startswith(("127.", "::1")) for address in found)
            yield Finding(
                check="TLS",
                verdict="pass" if local else "warn",
                seen="not used" + (", on this machine only" if local else ""),
                remedy="" if local else "password and logs cross the network readable: use amqps://",
            )
            return
        yield _handshake(connection, host, context)


def _handshake(connection: socket.socket, host: str, context: Callable[[], ssl.SSLContext]) -> Finding:
    try:
        with context().wrap_socket(connection, server_hostname=host) as secure:
            certificate = secure.getpeercert() or {}
            version = secure.version()
    except ssl.SSLCertVerificationError as error:
        return Finding(
            check="TLS",
            verdict="fail",
            seen=f"the certificate does not verify: {error.verify_message}",
            remedy="give the CA that signed it with --tls-ca, or correct the host name in the URL",
        )
    except (OSError, ValueError) as error:
        return Finding(
            check="TLS",
            verdict="fail",
            seen=str(error),
            remedy="does that port speak TLS, and are --tls-ca, --tls-cert and --tls-key right?",
        )
    until = ssl.cert_time_to_seconds(str(certificate.get("notAfter")))
    days = (until - time.time()) / 86400
    return Finding(
        check="TLS",
        verdict="pass" if days > EXPIRES_SOON else "warn",
        seen=f"{version}, certificate verifies, valid for {days:.0f} days",
        remedy="" if days > EXPIRES_SOON else "renew the broker's certificate",
    )
