"""Seals: what a session's messages are encrypted with, so that the broker and its disk hold no plaintext. Pure.

    agent ── claim or resume: key ──► master          a key pair of the session's, kept in memory only
    agent ◄── grant: seal.key ─────── master          an ephemeral key for this grant: both have the same keys now
    agent ◄══ sealed: start, data, interrupt ══ master
    agent ══ sealed: event, pull ══► master

The keys are those of HPKE (`hpke`), made for the session alone: `Parties` is its `info`. The master seals
with the context's cipher, the agent with one that the context exports, so nothing fits the other direction. A sealed
message's number is part of its nonce. An agent opens each number once; a master may be handed an event again, which it
knows by the event's own number. The bytes of a sealed message are

    4 bytes: length of the JSON, big-endian │ JSON of the message │ its bulk data

Randomness is passed in. Source: docs/protocol.md, rule 24.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, fields

from contracts.codec import HEADER, decode, encode
from contracts.errors import BadMessage, BadSeal
from contracts.messages import AnyMessage, Data, Event, Interrupt, Message, Pull, Sealed, Start
from contracts.trust import hpke

#: Name of the capability that says that an agent can seal, and its version; columns with a seal require it.
CAPABILITY = "sealing"
CAPABILITY_VERSION = "1"
#: What is sealed, by who says it. Nothing else of a session tells what was rendered, printed or transferred.
OF_MASTER = (Start, Interrupt, Data)
OF_AGENT = (Event, Pull)

#: Numbers behind the highest one that are still opened: two channels of one sender may overtake each other.
WINDOW = 1024
_LABEL = "buildbot-amqp seal 1"
_BACK = b"agent to master"
_LENGTH_BYTES = 4
_IDENT_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Parties:
    """Who has the keys, and for what: with another value of any of it nothing can be opened."""

    master: str
    incarnation: str
    request: str
    signature: str
    run: int
    session: str
    #: the agent's address at which it was granted
    address: str

    def info(self) -> bytes:
        """A label and the texts above in this order, each as UTF-8 with its length, 8 bytes big-endian, before it."""
        texts = (_LABEL, *(str(getattr(self, field.name)) for field in fields(self)))
        return b"".join(len(text.encode()).to_bytes(8, "big") + text.encode() for text in texts)


def unavailable() -> str | None:
    """Why this program cannot seal, with the remedy; None: it can."""
    if importlib.util.find_spec("cryptography") is None:
        return "the package cryptography is missing: it comes with the extra 'signing'"
    return None


def new_private(random: Callable[[int], bytes]) -> bytes:
    """An X25519 key of 32 bytes; `random` is `os.urandom`, or a test's."""
    return random(hpke.KEY_BYTES)


def public_key(private: bytes) -> str:
    """As it stands in a claim."""
    return hpke.public_of(private).hex()


def is_usable(key: str, random: Callable[[int], bytes]) -> bool:
    """Can anything be sealed to this key of a claim? Some texts of the right length are no such key."""
    try:
        hpke.send_to(bytes.fromhex(key), b"", ephemeral=new_private(random))
    except BadSeal:
        return False
    return True


class SealedSession:
    """One seal, at one of its two ends.

    `opens`: the types of messages that the other end may send; `once`: each of them is opened once.
    """

    def __init__(
        self, key: str, out: hpke.Cipher, into: hpke.Cipher, opens: tuple[type[Message], ...], *, once: bool
    ) -> None:
        #: the master's, as it stands in the grant
        self.key = key
        self.ident = key[:_IDENT_DIGITS]
        self._out = out
        self._into = into
        self._opens = opens
        self._once = once
        self._next = 0
        self._opened: set[int] = set()
        self._highest = -1

    def seal(self, message: Start | Interrupt | Data | Event | Pull, version: int | None = None) -> Sealed:
        """Each call takes a number. `version` as for `codec.encode`, whose errors are raised."""
        wire = encode(message, version)
        text, data = (str(wire.headers[HEADER]).encode(), wire.body) if wire.headers else (wire.body, b"")
        plain = len(text).to_bytes(_LENGTH_BYTES, "big") + text + data
        number, self._next = self._next, self._next + 1
        return Sealed(session=message.session, seal=self.ident, number=number, data=self._out.seal(number, plain))

    def open(self, sealed: Sealed) -> AnyMessage:
        """The message in it. Raises `BadSeal`: changed on its way, opened before, or not for this session or direction.

        A number counts as opened only when its bytes are right.
        """
        number = sealed.number
        if self._once and (number in self._opened or number <= self._highest - WINDOW):
            raise BadSeal(f"number {number} of its session came before: sent again by somebody")
        plain = self._into.open(number, sealed.data)
        if self._once:
            self._note(number)
        return self._read(plain, sealed)

    def _note(self, number: int) -> None:
        self._highest = max(self._highest, number)
        self._opened.add(number)
        if len(self._opened) > 2 * WINDOW:
            self._opened = {each for each in self._opened if each > self._highest - WINDOW}

    def _read(self, plain: bytes, sealed: Sealed) -> AnyMessage:
        length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
        text, data = plain[_LENGTH_BYTES : _LENGTH_BYTES + length], plain[_LENGTH_BYTES + length :]
        try:
            message = decode(data, {HEADER: text}) if data else decode(text)
        except BadMessage as error:
            raise BadSeal(f"what is sealed is no message: {error}") from None
        # an event or a pull for a master, a start, an interrupt or data for an agent: all of them name a session
        if not isinstance(message, self._opens) or getattr(message, "session", None) != sealed.session:
            raise BadSeal(f"a {message.t} of another session or direction is sealed in it")
        return message


def seal_to(key: str, parties: Parties, random: Callable[[int], bytes]) -> SealedSession:
    """The master's end, for the `key` of a claim or resume. Raises `BadSeal`."""
    encapsulated, context = hpke.send_to(bytes.fromhex(key), parties.info(), ephemeral=new_private(random))
    return SealedSession(encapsulated.hex(), context.cipher, _back(context), OF_AGENT, once=False)


def seal_of(key: str, private: bytes, parties: Parties) -> SealedSession:
    """The agent's end, for the `seal.key` of a grant. Raises `BadSeal`."""
    context = hpke.received(bytes.fromhex(key), private, parties.info())
    return SealedSession(key, _back(context), context.cipher, OF_MASTER, once=True)


def _back(context: hpke.HpkeContext) -> hpke.Cipher:
    """The agent's keys (RFC 9180, 9.8): 32 bytes of key, 12 of nonce."""
    exported = context.export(_BACK, hpke.KEY_BYTES + hpke.NONCE_BYTES)
    return hpke.Cipher(key=exported[: hpke.KEY_BYTES], base_nonce=exported[hpke.KEY_BYTES :])
