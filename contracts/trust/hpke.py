"""Hybrid public key encryption, RFC 9180: base mode of DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305. Pure.

Whoever knows a public key makes a context for it (`send_to`), the owner of the private key makes the same one
(`received`); what one of them seals with a context the other opens. Randomness is passed in. Only the part of the RFC
that sealing needs: the numbers of messages are the caller's, and what travels back is encrypted with keys that the
context exports (RFC 9180, 9.8). Its test vectors (A.2.1) are in tests/unit/contracts/trust/test_hpke.py.

`cryptography` is imported when a key is first used: a program that seals nothing does not pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.errors import BadSeal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

#: Bytes of a private or public key, of an AEAD's key, and of its nonce.
KEY_BYTES = 32
NONCE_BYTES = 12

_HASH_BYTES = 32
_VERSION = b"HPKE-v1"
_KEM = b"KEM" + (0x0020).to_bytes(2, "big")
_SUITE = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0003))
_BASE_MODE = b"\x00"


@dataclass(frozen=True)
class Cipher:
    """A key for messages of one direction. No number may be used twice for sealing."""

    key: bytes
    base_nonce: bytes

    def seal(self, number: int, text: bytes, more: bytes = b"") -> bytes:
        """`more` is authenticated and not part of what is returned."""
        return self._aead().encrypt(self._nonce(number), text, more)

    def open(self, number: int, sealed: bytes, more: bytes = b"") -> bytes:
        """Raises `BadSeal` for what was not sealed so: another key, number or `more`, or bytes that were changed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead().decrypt(self._nonce(number), sealed, more)
        except InvalidTag:
            raise BadSeal("its bytes do not fit its key and number") from None

    def _nonce(self, number: int) -> bytes:
        counted = number.to_bytes(NONCE_BYTES, "big")
        return bytes(one ^ other for one, other in zip(self.base_nonce, counted, strict=True))

    def _aead(self) -> ChaCha20Poly1305:
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        return ChaCha20Poly1305(self.key)


@dataclass(frozen=True)
class HpkeContext:
    """What sender and receiver share: the sender's cipher, and a secret for other keys."""

    cipher: Cipher
    exporter_secret: bytes

    def export(self, purpose: bytes, length: int) -> bytes:
        """RFC 9180, 5.3: a secret of `length` bytes for `purpose`, the same on both sides."""
        return _expand(_SUITE, self.exporter_secret, b"sec", purpose, length)


def public_of(private: bytes) -> bytes:
    """The public key of a private one, which is any 32 random bytes."""
    return _private(private).public_key().public_bytes_raw()


def send_to(public: bytes, info: bytes, *, ephemeral: bytes) -> tuple[bytes, HpkeContext]:
    """What the receiver needs to make the same context, and that context.

    `ephemeral`: 32 random bytes, which are never used again. Raises `BadSeal` for what is no public key.
    """
    encapsulated = public_of(ephemeral)
    return encapsulated, _context(_exchange(ephemeral, public), encapsulated, public, info)


def received(encapsulated: bytes, private: bytes, info: bytes) -> HpkeContext:
    """Raises `BadSeal` for what no sender makes."""
    return _context(_exchange(private, encapsulated), encapsulated, public_of(private), info)


def _context(shared: bytes, encapsulated: bytes, public: bytes, info: bytes) -> HpkeContext:
    """The key schedule, RFC 9180, 4.1 (ExtractAndExpand) and 5.1 (KeySchedule, without a pre-shared key)."""
    extracted = _extract(_KEM, b"", b"eae_prk", shared)
    secret = _expand(_KEM, extracted, b"shared_secret", encapsulated + public, _HASH_BYTES)
    told = _BASE_MODE + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
    root = _extract(_SUITE, secret, b"secret", b"")
    return HpkeContext(
        cipher=Cipher(
            key=_expand(_SUITE, root, b"key", told, KEY_BYTES),
            base_nonce=_expand(_SUITE, root, b"base_nonce", told, NONCE_BYTES),
        ),
        exporter_secret=_expand(_SUITE, root, b"exp", told, _HASH_BYTES),
    )


def _exchange(private: bytes, public: bytes) -> bytes:
    """X25519. A point of low order, with which everybody would know the result, is refused (RFC 9180, 7.1.4)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        return _private(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise BadSeal("that is no public key for X25519") from None


def _private(private: bytes) -> X25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private)


def _extract(suite: bytes, salt: bytes, label: bytes, text: bytes) -> bytes:
    """LabeledExtract of RFC 9180, 4; HKDF-Extract of RFC 5869 is one HMAC."""
    return hmac.new(salt or bytes(_HASH_BYTES), _VERSION + suite + label + text, hashlib.sha256).digest()


def _expand(suite: bytes, key: bytes, label: bytes, text: bytes, length: int) -> bytes:
    """LabeledExpand of RFC 9180, 4, with HKDF-Expand of RFC 5869."""
    info = length.to_bytes(2, "big") + _VERSION + suite + label + text
    found = block = b""
    while len(found) < length:
        block = hmac.new(key, block + info + bytes([len(found) // _HASH_BYTES + 1]), hashlib.sha256).digest()
        found += block
    return found[:length]
