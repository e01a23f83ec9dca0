"""What goes into a worker's configuration beside its password: certificates and keys, read here and looked at first.

A mistake would be found on the machine only, or never: a private key in a file that goes to every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from contracts.trust.signing import BadKey, Signer, key_id, load_public_key, public_pem
from master_bridge.operating.errors import OperatingError


@dataclass(frozen=True, kw_only=True)
class Enclosed:
    """PEM text, and a sentence's part about it for people."""

    pem: str
    what: str


def authority(path: Path) -> Enclosed:
    """The certificates in a PEM file, of which one at least is an authority's and valid. Raises `OperatingError`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    text = _text(path)
    if "PRIVATE KEY" in text:
        raise OperatingError(f"{path} holds a private key, which no other machine may have: give the certificate alone")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise OperatingError(f"{path} holds no certificate in PEM: {error}") from None
    able = [each for each in found if each.issuer == each.subject or _may_sign(each)]
    if not able:
        raise OperatingError(
            f"{path} is no authority's certificate, but one that {found[0].issuer.rfc4514_string()} has signed: give "
            "the certificate of that one"
        )
    last = max(able, key=lambda each: each.not_valid_after_utc)
    if last.not_valid_after_utc < datetime.now(timezone.utc):
        raise OperatingError(f"{path} has expired on {last.not_valid_after_utc:%Y-%m-%d}: make a new authority")
    named = f"the authority {last.subject.rfc4514_string()} (until {last.not_valid_after_utc:%Y-%m-%d})"
    return Enclosed(pem="".join(each.public_bytes(Encoding.PEM).decode() for each in found), what=named)


def _may_sign(certificate: object) -> bool:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def client_certificate(path: Path) -> Enclosed:
    """The machine's own certificate and its key, both in one PEM file. Raises `OperatingError`."""
    text = _text(path)
    for part in ("CERTIFICATE", "PRIVATE KEY"):
        if f"{part}-----" not in text:
            raise OperatingError(f"{path} holds no {part.lower()}: the machine needs its certificate and the key to it")
    return Enclosed(pem=text, what="its certificate")


def trusted_keys(paths: Sequence[Path], signing_key: Path | None) -> list[Enclosed]:
    """Of `.pub` files; where there are none, the public part of the private key that this operator signs with.

    Raises `OperatingError`.
    """
    try:
        if not paths:
            keys = [] if signing_key is None else [Signer.from_file(signing_key).public_key]
        else:
            keys = [load_public_key(path) for path in paths]
    except BadKey as error:
        private = [path for path in paths if "PRIVATE KEY" in _text(path)]
        more = f". {private[0]} is the private one: give {private[0]}.pub" if private else ""
        raise OperatingError(f"{error}{more}") from None
    return [Enclosed(pem=public_pem(key), what=f"trusted key {key_id(key)}") for key in keys]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise OperatingError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OperatingError(f"{path} is not PEM, which is plain text") from None
