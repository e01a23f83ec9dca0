"""The certificate with which this master shows agents who it is: made at the first start, or the operator's own."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from contracts.operations.extras import how_to_install
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.listening import closed_by_other
from master_bridge.link.settings import TLSSettings

#: In the master's folder: certificate and key.
CERTIFICATE_FILE = "agents-tls.pem"
#: Agents know it by its fingerprint, which a new one would change: it is valid for as long as a master may live.
VALID = timedelta(days=20 * 365)


def by_tls(options: Any, factory: Any) -> Any:
    """A factory for Twisted's listeners whose connections are encrypted; `options` are those of `server_options`."""
    from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol  # needs OpenSSL

    class Encrypted(TLSMemoryBIOProtocol):
        """Knows how TCP has ended: without TLS's own goodbye Twisted makes one error of all ends."""

        ended = False

        def connectionLost(self, reason: Any) -> None:
            self.ended = closed_by_other(reason, self.transport)
            super().connectionLost(reason)

    wrapped = TLSMemoryBIOFactory(options, False, factory)
    wrapped.protocol = Encrypted
    wrapped.noisy = False
    return wrapped


def server_options(folder: Path, tls: TLSSettings | None) -> tuple[Any, str]:
    """What Twisted needs to listen with TLS, and the certificate's fingerprint in hexadecimal digits.

    Without a certificate of the operator's one is made and kept in `folder`. `tls.ca`: client certificates of that
    authority log their accounts in. Raises `BadSettings`.
    """
    try:
        from OpenSSL import SSL
        from twisted.internet.ssl import Certificate, CertificateOptions, PrivateCertificate
    except ImportError as error:
        remedy = how_to_install("master", "tls")
        raise BadSettings(f"url: TLS needs libraries ({error}), which extra 'tls' has: {remedy}") from None
    given = tls if tls is not None and tls.certificate is not None else None
    path = Path(given.certificate) if given is not None and given.certificate else _own(folder)
    try:
        pem = path.read_text(encoding="ascii")
        if given is not None and given.key is not None:
            pem += "\n" + Path(given.key).read_text(encoding="ascii")
        own = PrivateCertificate.loadPEM(pem.encode())
        authorities = [Certificate.loadPEM(Path(tls.ca).read_bytes()).original] if tls is not None and tls.ca else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"tls: {error}") from None
    except Exception as error:  # pyOpenSSL's own errors, several classes
        raise BadSettings(f"tls: {path} cannot be used: {error}") from None
    options = CertificateOptions(
        privateKey=own.privateKey.original,
        certificate=own.original,
        verify=bool(authorities),
        caCerts=authorities or None,
        requireCertificate=False,
    )
    options.getContext().set_session_cache_mode(SSL.SESS_CACHE_OFF)
    digest: bytes = own.digest("sha256")
    return options, digest.decode().replace(":", "").lower()


def name_of(certificate: Any) -> str | None:
    """The common name in a client certificate (pyOpenSSL's), as RabbitMQ's EXTERNAL login takes it."""
    from cryptography.x509 import NameOID

    names = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else None


def _own(folder: Path) -> Path:
    path = folder / CERTIFICATE_FILE
    if not path.exists():
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_made())
        except FileExistsError:
            pass  # somebody else was quicker
        except OSError as error:
            raise BadSettings(f"{path}: {error.strerror}") from None
    return path


def _made() -> bytes:
    """A key and a certificate that it signed itself, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Buildbot master")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
