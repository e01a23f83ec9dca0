"""The Twisted endpoint that a broker's URL and TLS settings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

from contracts.operations.extras import how_to_install
from contracts.operations.reachability import NEXT_ADDRESS
from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import LinkSettings, TLSSettings

#: Seconds for name resolution and TCP connect, all addresses of the name together.
CONNECT_TIMEOUT = 10


def endpoint(reactor: Any, settings: LinkSettings) -> Any:
    """A stream client endpoint. Raises `BadSettings` for TLS material that cannot be used."""
    address = settings.address
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout=CONNECT_TIMEOUT, attemptDelay=NEXT_ADDRESS)
    if not address.secure:
        return plain
    return wrapClientTLS(tls_options(address.host, settings.tls or TLSSettings()), plain)


def tls_options(host: str, tls: TLSSettings) -> Any:
    """Verifies the broker's certificate for `host`; shows ours where there is one."""
    try:
        # pyOpenSSL and service_identity come with the extra "tls" only
        from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
    except ImportError as error:
        remedy = how_to_install("master", "tls")
        raise BadSettings(f"url: amqps:// needs TLS libraries ({error}), which extra 'tls' has: {remedy}") from None
    try:
        trust = None if tls.ca is None else trustRootFromCertificates(_certificates(Certificate, tls.ca))
        own = None if tls.certificate is None else _own(PrivateCertificate, tls.certificate, tls.key)
        return optionsForClientTLS(host, trustRoot=trust, clientCertificate=own)
    except BadSettings:
        raise
    except Exception as error:  # pyOpenSSL's own errors, several classes
        raise BadSettings(f"tls: {tls.certificate or tls.ca or 'the host name'} cannot be used: {error}") from None


def _certificates(kind: Any, path: str) -> list[Any]:
    text = _read("tls.ca", path)
    mark = "-----END CERTIFICATE-----"
    parts = [part + mark for part in text.split(mark) if "-----BEGIN CERTIFICATE-----" in part]
    if not parts:
        raise BadSettings(f"tls.ca: no certificate in {path}")
    try:
        return [kind.loadPEM(part.strip()) for part in parts]
    except Exception as error:  # as above
        raise BadSettings(f"tls.ca: {path} cannot be used: {error}") from None


def _own(kind: Any, certificate: str, key: str | None) -> Any:
    pem = _read("tls.certificate", certificate)
    secret = _read("tls.key", key) if key is not None else pem
    if "ENCRYPTED" in secret:  # OpenSSL would ask for it on the terminal
        raise BadSettings(f"tls.key: {key or certificate} has a passphrase, and nobody is there to type it; remove it")
    try:
        return kind.loadPEM((pem if key is None else secret + "\n" + pem).encode())
    except Exception as error:  # as above
        raise BadSettings(f"tls.certificate: {certificate} and its key cannot be used: {error}") from None


def _read(argument: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{argument}: {error}") from None
