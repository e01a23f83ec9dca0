"""Tickets: what an agent shows so that a bridge believes that the work it names was given to it. Pure.

An offer carries a ticket for its request, signature and run, and a claim shows it. A grant carries one for its request,
run, session and broker account, and each resume and accept shows that of the last grant. A ticket is an HMAC-SHA256
(RFC 2104) under a secret of the master's, so nobody else can make one, and a master that was restarted knows those it
gave out before. To whoever holds it, it is a text without meaning:

    <build|command|grant>:<run>:<signature's digest>:<milliseconds since the epoch>:<HMAC>

It proves only what it was made for: that of an offer is no grant (of a command's it is a leave to run, rule 15), that
of a grant is of no use to another account or for another session. Source: docs/protocol.md, rule 21.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.errors import ContractError

#: What a ticket was made for: the offer of a build, the offer of a command, a grant.
Kind = Literal["build", "command", "grant"]

_KINDS: dict[str, Kind] = {"build": "build", "command": "command", "grant": "grant"}

#: Bytes of a master's secret, and hexadecimal digits that are kept of an HMAC: 128 bits, which nobody guesses.
SECRET_BYTES = 32
MAC_DIGITS = 32
#: Hexadecimal digits of the SHA-256 of a signature: it is only told apart by them, the HMAC covers all.
SIGNATURE_DIGITS = 16


class BadSecret(ContractError):
    """The file with the secret of a master's tickets cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What a ticket has proved."""

    kind: Kind
    run: int
    #: when it was made, milliseconds since the epoch on its master's clock: of several grants, the last one counts
    made: int


class Tickets:
    """Makes and checks the tickets of one master."""

    def __init__(self, secret: bytes, *, master: str) -> None:
        if len(secret) < SECRET_BYTES:
            raise BadSecret(f"a secret for tickets has at least {SECRET_BYTES} bytes, this one has {len(secret)}")
        self._secret = secret
        self._master = master

    def for_offer(
        self, kind: Literal["build", "command"], *, request: str, signature: str, run: int, made: float
    ) -> str:
        """`made`: seconds since the epoch."""
        return self._make(kind, _digest(signature), run, int(made * 1000), request, "", "")

    def for_grant(self, *, request: str, signature: str, run: int, session: str, user: str, made: float) -> str:
        """`user`: the `key_word` of the account that the session belongs to."""
        return self._make("grant", _digest(signature), run, int(made * 1000), request, session, user)

    def proves(self, ticket: str, *, request: str, session: str, user: str) -> Proof | None:
        """What `ticket` proves when account `user` shows it for this session of this request; None: nothing."""
        try:
            kind, run_text, signature, made_text, _ = ticket.split(":")
            run, made = int(run_text), int(made_text)
        except ValueError:
            return None
        made_for = _KINDS.get(kind)
        if made_for is None:
            return None
        whose = (session, user) if made_for == "grant" else ("", "")
        expected = self._make(made_for, signature, run, made, request, *whose)
        if not hmac.compare_digest(ticket.encode("utf-8", "replace"), expected.encode("utf-8", "replace")):
            return None
        return Proof(kind=made_for, run=run, made=made)

    def trace_id(self, request: str) -> int:
        """Of the trace of a build request: 16 bytes, the same after a restart, and another master's is another."""
        mac = hmac.new(self._secret, json.dumps(["trace", self._master, request]).encode(), hashlib.sha256)
        return int.from_bytes(mac.digest()[:16], "big") or 1

    def _make(self, kind: Kind, signature: str, run: int, made: int, request: str, session: str, user: str) -> str:
        covered = json.dumps([kind, self._master, request, signature, run, made, session, user])
        mac = hmac.new(self._secret, covered.encode(), hashlib.sha256).hexdigest()[:MAC_DIGITS]
        return f"{kind}:{run}:{signature}:{made}:{mac}"


def _digest(signature: str) -> str:
    return hashlib.sha256(signature.encode()).hexdigest()[:SIGNATURE_DIGITS]


def load_secret(path: Path) -> bytes:
    """The secret in `path`, which is made, readable for its owner alone, where there is none. Raises `BadSecret`."""
    try:
        return _read(path) if path.exists() else _create(path)
    except OSError as error:
        raise BadSecret(f"secret for tickets {path}: {error.strerror or error}") from None


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise BadSecret(f"secret for tickets {path}: others can read it; chmod 600 {path}")
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise BadSecret(
            f"secret for tickets {path}: not {2 * SECRET_BYTES} hexadecimal digits; delete it, and a new one is made "
            "(agents that run commands then give up those of before)"
        )
    return secret


def _create(path: Path) -> bytes:
    """Written beside it and linked: whoever comes second takes the first one's, and nobody reads half of one."""
    secret = secrets.token_bytes(SECRET_BYTES)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secret.hex() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return _read(path)
    finally:
        temporary.unlink()
    return secret
