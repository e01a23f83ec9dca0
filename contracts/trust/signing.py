"""What a master sends, signed with Ed25519 (RFC 8032), so that a worker does what its master says and nobody else.

Three headers: `bb-key` names the key, `bb-stamp` is `<issuer>:<counter>:<milliseconds since the epoch>`, and
`bb-signature` is the signature, base64. It covers, each with its length before it: a fixed context, exchange and
routing key (the addressee), the stamp, the header `bb` (the JSON of a message with bulk data) and the body.

The issuer is new with each process of a master, and its counter grows with each message, so that what was sent once
cannot be sent again. Offers wait in queues for hours, come out of order and may be delivered twice, and where a session
needs a grant their repetition is harmless. So none is refused for its stamp, but one that is old, or was here before,
is no first delivery (`Verifier.repetition`): its commands wait for a grant, too.

`cryptography` is imported when a key is first used: a program without keys does not pay for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

from cachetools import FIFOCache

from contracts.codec import HEADER
from contracts.errors import ContractError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_HEADER = "bb-key"
STAMP_HEADER = "bb-stamp"
SIGNATURE_HEADER = "bb-signature"

#: Largest difference of a stamp to the reader's clock, seconds. Control messages are read within seconds; the rest is
#: for clocks that differ.
MARGIN = 300.0
#: Issuers whose counters are remembered; one is a start of a master. Those forgotten first are the longest unheard.
ISSUERS = 1000
#: Offers of the last `MARGIN` seconds that are remembered; an agent that is shown more takes the rest for repeated.
OFFERS = 10_000

#: Why an offer is no first delivery, by its signature: this reader has seen it, or it may have gone anywhere since.
Repetition = Literal["seen", "old"]

#: Characters of each of the three headers: ours have at most 100.
HEADER_TEXT_MAX = 200
#: `<issuer>:<counter>:<milliseconds>`, with numbers that a computation with them cannot fail for.
_STAMP = re.compile(r"([A-Za-z0-9_.-]{1,64}):([0-9]{1,18}):([0-9]{1,16})")

_CONTEXT = b"buildbot-amqp signed message 1"


class BadKey(ContractError):
    """A key file cannot be used."""


class NotTrusted(ContractError):
    """A message is not signed by a trusted key, or is not fresh."""


class Signer:
    """Signs as one issuer. `clock` gives seconds since the epoch."""

    def __init__(self, key: Ed25519PrivateKey, *, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock
        self._issuer = token_hex(8)
        self._counter = 0
        self.public_key = key.public_key()
        self.key_id = key_id(self.public_key)

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """With the private key in a PEM file. Raises `BadKey`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise BadKey(f"signing key {path}: {error}; `master-bridge keygen` makes one") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey(f"signing key {path}: not an Ed25519 key; `master-bridge keygen` makes one")
        return cls(key)

    def headers(self, exchange: str, routing_key: str, body: bytes, headers: Mapping[str, Any]) -> dict[str, str]:
        """The three headers for one message; each call takes a number."""
        self._counter += 1
        stamp = f"{self._issuer}:{self._counter}:{int(self._clock() * 1000)}"
        signature = self._key.sign(signed_bytes(exchange, routing_key, stamp, headers.get(HEADER), body))
        return {
            KEY_HEADER: self.key_id,
            STAMP_HEADER: stamp,
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        }


class Verifier:
    """Checks against the trusted keys; remembers the counters of each issuer."""

    def __init__(self, keys: Iterable[Ed25519PublicKey], *, clock: Callable[[], float] = time.time) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._clock = clock
        self._counters: FIFOCache[tuple[str, str], int] = FIFOCache(ISSUERS)
        #: (key, stamp) of an offer -> when it was signed, seconds since the epoch
        self._offers: dict[tuple[str, str], float] = {}

    @classmethod
    def from_pem(cls, sources: Iterable[Path | str]) -> Verifier:
        """With public keys: PEM files, or their text. Raises `BadKey`."""
        return cls([load_public_key(source) for source in sources])

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of the keys that are trusted, as signatures name them."""
        return tuple(self._keys)

    def check(
        self, exchange: str, routing_key: str, body: bytes, headers: Mapping[str, Any], *, fresh: bool = True
    ) -> None:
        """Raises `NotTrusted`, whatever the headers are. `fresh`: also refuse what is too old or was sent before; not
        for offers.

        Verified first, then parsed: what nobody trusted has signed is compared, and nothing else.
        """
        from cryptography.exceptions import InvalidSignature

        name, stamp, text = (_text(headers.get(each)) for each in (KEY_HEADER, STAMP_HEADER, SIGNATURE_HEADER))
        if not (name and stamp and text):
            raise NotTrusted("not signed, and this agent has trusted keys")
        key = self._keys.get(name)
        if key is None:
            raise NotTrusted(f"signed with key {name[:40]!r}; trusted: {', '.join(self._keys)}")
        json = headers.get(HEADER)
        if not isinstance(json, (str, bytes, type(None))):
            raise NotTrusted(f"the header {HEADER!r} is {type(json).__name__}, not text")
        try:
            signature = base64.b64decode(text, validate=True)
            key.verify(signature, signed_bytes(exchange, routing_key, stamp, json, body))
        except (InvalidSignature, ValueError, binascii.Error):
            raise NotTrusted(f"the signature by key {name} does not fit this message and its addressee") from None
        issuer, counter, sent = _parsed(stamp)
        if fresh:
            self._check_fresh((name, issuer), counter, sent)

    def repetition(self, headers: Mapping[str, Any]) -> Repetition | None:
        """Of an offer that passed `check`: None for one that was signed within `MARGIN` and is seen for the first time.

        Whoever sends an offer again, to an agent that has seen it or later than that, gets no command run without a
        grant. Forgotten are only stamps that are too old by themselves; where memory is full, a new one counts as old.
        Raises `NotTrusted` for a stamp that none of ours is.
        """
        name, stamp = _text(headers.get(KEY_HEADER)), _text(headers.get(STAMP_HEADER))
        now = self._clock()
        _issuer, _counter, sent = _parsed(stamp)
        if len(self._offers) >= OFFERS:
            self._offers = {each: at for each, at in self._offers.items() if now - at <= MARGIN}
        if (name, stamp) in self._offers:
            return "seen"
        if abs(now - sent) > MARGIN or len(self._offers) >= OFFERS:
            return "old"
        self._offers[name, stamp] = sent
        return None

    def _check_fresh(self, issuer: tuple[str, str], counter: int, sent: float) -> None:
        age = self._clock() - sent
        if abs(age) > MARGIN:
            raise NotTrusted(
                f"signed {age:.0f} s ago, more than {MARGIN:.0f}: sent again by somebody, or the clocks differ"
            )
        last = self._counters.get(issuer, 0)
        self._counters[issuer] = max(last, counter)
        if counter <= last:
            raise NotTrusted(f"number {counter} of its sender after number {last}: sent again by somebody")


def signed_bytes(exchange: str, routing_key: str, stamp: str, header: object, body: bytes) -> bytes:
    """What the signature covers. `header` is the AMQP header `bb`, None where there is none."""
    json = b"" if header is None else header if isinstance(header, bytes) else str(header).encode()
    parts = (_CONTEXT, exchange.encode(), routing_key.encode(), stamp.encode(), json, body)
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def key_id(key: Ed25519PublicKey) -> str:
    """16 hexadecimal digits of the SHA-256 of the raw public key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def load_public_key(source: Path | str) -> Ed25519PublicKey:
    """From a PEM file, or from its text. Raises `BadKey`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    named = f"trusted key {source}" if isinstance(source, Path) else "a trusted key's text"
    try:
        key = load_pem_public_key(source.read_bytes() if isinstance(source, Path) else source.encode())
    except (OSError, ValueError) as error:
        raise BadKey(f"{named}: {error}; it is the .pub file of `master-bridge keygen`") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadKey(f"{named}: not an Ed25519 key; it is the .pub file of `master-bridge keygen`")
    return key


def public_pem(key: Ed25519PublicKey) -> str:
    """The text of a `.pub` file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def generate(path: Path) -> str:
    """Make a pair: the private key at `path` (0600), the public one beside it with `.pub`. Returns the key's id.

    Raises `BadKey` where either file is there: a key that is in use is not overwritten.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    public = path.with_name(path.name + ".pub")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown = public_pem(key.public_key()).encode()
    for file, mode, data in ((path, 0o600, secret), (public, 0o644, shown)):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise BadKey(f"{file}: {error.strerror}; give a new file name for a new key") from None
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
    return key_id(key.public_key())


def _parsed(stamp: str) -> tuple[str, int, float]:
    """Issuer, counter, and seconds since the epoch. Raises `NotTrusted`."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        raise NotTrusted(f"its stamp {stamp[:40]!r} is not <issuer>:<counter>:<milliseconds>")
    return found[1], int(found[2]), int(found[3]) / 1000


def _text(value: object) -> str:
    """ "" for what is none of our headers: another type, too long, not ASCII."""
    if isinstance(value, (bytes, str)) and len(value) <= HEADER_TEXT_MAX and value.isascii():
        return value if isinstance(value, str) else value.decode("ascii")
    return ""
