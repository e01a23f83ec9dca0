"""The bridge's ends of all seals: what is sent is sealed, what comes is opened, at the edge of the machine (rule 24).

The machine says by `Send.terms` what must be sealed, and never sees a key. A seal lives in the memory of this process:
a bridge that is started again grants anew, with another.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.errors import BadSeal, NotBelieved
from contracts.messages import AnyMessage, Claim, Grant, Message, Resume, Seal, Sealed
from contracts.trust.sealing import OF_AGENT, OF_MASTER, Parties, SealedSession, is_usable, seal_to
from master_bridge.core.actions import Terms

#: Seals of one session that are remembered: of its address, of the one before, and of a copy that was asked (rule 2).
KEPT = 4


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A seal, and what it was made for."""

    address: str
    run: int
    terms: Terms
    seal: SealedSession


@dataclass(kw_only=True)
class Seals:
    """Of one incarnation of one master. `random(n)`: n bytes."""

    master: str
    incarnation: str
    random: Callable[[int], bytes] = os.urandom
    _made: dict[str, list[_Made]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._made)

    def outgoing(self, message: Message, address: str, terms: Terms | None, version: int | None = None) -> Message:
        """What is to be sent instead of `message`. Raises `BadSeal`: then nothing may be sent."""
        if terms is None:
            return message
        if isinstance(message, Grant):
            seal = self._agree(message, address, terms)
            return message.model_copy(update={"seal": Seal(key=seal.key, signature=terms.signature)})
        if not isinstance(message, OF_MASTER):
            return message
        for made in reversed(self._made.get(message.session, [])):
            if made.address == address:
                return made.seal.seal(message, version)
        raise BadSeal(f"session {message.session} has no seal at {address}")

    def incoming(self, message: AnyMessage, user: str) -> AnyMessage | None:
        """What `user` has said. None: sealed for what is over, as if it had never come; it is told again if need be.

        Raises `NotBelieved` or `BadSeal`.
        """
        if isinstance(message, (Claim, Resume)) and message.key is not None and not is_usable(message.key, self.random):
            return message.model_copy(update={"key": None})
        if isinstance(message, OF_AGENT) and message.session in self._made:
            raise NotBelieved(f"a {message.t} of session {message.session} came in plain text, which has a seal")
        if not isinstance(message, Sealed):
            return message
        for made in self._made.get(message.session, []):
            if made.seal.ident == message.seal:
                if made.terms.user != user:
                    raise NotBelieved(
                        f"user {user} spoke for session {message.session}, which is user {made.terms.user}'s"
                    )
                return made.seal.open(message)
        return None

    def forget(self, session: str) -> None:
        """The session is over: none of its keys is kept."""
        self._made.pop(session, None)

    def _agree(self, grant: Grant, address: str, terms: Terms) -> SealedSession:
        """The same seal as long as nothing changed: a grant that is sent again may cross what was sealed with it."""
        known = self._made.setdefault(grant.session, [])
        for made in known:
            if (made.address, made.run, made.terms) == (address, grant.run, terms):
                return made.seal
        parties = Parties(
            master=self.master,
            incarnation=self.incarnation,
            request=terms.request,
            signature=terms.signature,
            run=grant.run,
            session=grant.session,
            address=address,
        )
        seal = seal_to(terms.key, parties, self.random)
        known.append(_Made(address=address, run=grant.run, terms=terms, seal=seal))
        del known[:-KEPT]
        return seal
