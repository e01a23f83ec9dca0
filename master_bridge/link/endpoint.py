"""The Twisted endpoint that a broker's URL and TLS settings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

from master_bridge.link.errors import BadSettings
from master_bridge.link.settings import LinkSettings, TLSSettings

#: Seconds for name resolution and TCP connect.
CONNECT_TIMEOUT = 10


def endpoint(reactor: Any, settings: LinkSettings) -> Any:
    """A stream client endpoint. Raises `BadSettings` for TLS material that cannot be used."""
    address = settings.address
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout=CONNECT_TIMEOUT)
    if not address.secure:
        return plain
    return wrapClientTLS(tls_options(address.host, settings.tls or TLSSettings()), plain)


def tls_options(host: str, tls: TLSSettings) -> Any:
    """Verifies the broker's certificate for `host`; shows ours where there is one."""
    try:
        # pyOpenSSL and service_identity come with the extra "tls" only
        from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
    except ImportError as error:
        raise BadSettings(
            f"url: amqps:// needs TLS libraries ({error}); pip install 'buildbot-amqp[master,tls]'"
        ) from None
    trust = None
    if tls.ca is not None:
        text = _read("tls.ca", tls.ca)
        mark = "-----END CERTIFICATE-----"
        parts = [part + mark for part in text.split(mark) if "-----BEGIN CERTIFICATE-----" in part]
        if not parts:
            raise BadSettings(f"tls.ca: no certificate in {tls.ca}")
        trust = trustRootFromCertificates([Certificate.loadPEM(part.strip()) for part in parts])
    own = None
    if tls.certificate is not None:
        pem = _read("tls.certificate", tls.certificate)
        key = _read("tls.key", tls.key) if tls.key is not None else ""
        try:
            own = PrivateCertificate.loadPEM((key + "\n" + pem).encode())
        except Exception as error:  # pyOpenSSL's own errors, several classes
            raise BadSettings(f"tls.certificate: {tls.certificate} and its key cannot be used: {error}") from None
    return optionsForClientTLS(host, trustRoot=trust, clientCertificate=own)


def _read(argument: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{argument}: {error}") from None
