"""The agent's ends of all seals: what comes is opened, what is said is sealed, at the edge of the machine (rule 24).

The machine says by `Publish.sealed` what must be sealed, and never sees a key. A session's key pair is made with its
claim, or with its first resume in this process, and is forgotten with the session: it is never written to a disk, so an
agent that is started again gives another key with its resumes and is granted another seal.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.errors import BadSeal
from contracts.messages import AnyMessage, Claim, Message, Resume, Sealed
from contracts.trust.sealing import OF_AGENT, Parties, SealedSession, new_private, public_key, seal_of
from worker_agent.core.actions import Agree, Publish

#: In the resumes of a session with a seal, instead of the digests of its commands.
DIGEST = "sealed"


@dataclass(kw_only=True)
class Seals:
    """Of one process. `random(n)`: n bytes."""

    random: Callable[[int], bytes] = os.urandom
    _private: dict[str, bytes] = field(default_factory=dict)
    #: session -> the broker user of its master, and the seal of its last grant
    _seals: dict[str, tuple[str, SealedSession]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._private)

    def agree(self, agree: Agree) -> None:
        """Raises `BadSeal`. The same grant once more changes nothing: what was sealed with it may be under way."""
        grant = agree.grant
        assert grant.seal is not None, "a grant without a seal agrees on nothing"
        known = self._seals.get(grant.session)
        if known is not None and known[1].key == grant.seal.key:
            return
        self._seals.pop(grant.session, None)
        parties = Parties(
            master=grant.master,
            incarnation=grant.incarnation,
            request=agree.request,
            signature=grant.seal.signature,
            run=grant.run,
            session=grant.session,
            address=agree.address,
        )
        self._seals[grant.session] = agree.user, seal_of(grant.seal.key, self._private_of(grant.session), parties)

    def outgoing(self, order: Publish, version: int | None = None) -> Message:
        """What is to be published instead of its message. Raises `BadSeal`: then nothing may be published."""
        message = order.message
        if not order.sealed:
            return message
        if isinstance(message, (Claim, Resume)):
            return _without_digests(message).model_copy(update={"key": public_key(self._private_of(message.session))})
        if not isinstance(message, OF_AGENT):
            return message
        if message.session not in self._seals:
            raise BadSeal(f"session {message.session} has no seal yet")
        return self._seals[message.session][1].seal(message, version)

    def incoming(self, message: AnyMessage, user: str) -> AnyMessage:
        """What is in a sealed message; the message itself where nothing of `user` is sealed here. Raises `BadSeal`."""
        if not isinstance(message, Sealed):
            return message
        whose, seal = self._seals.get(message.session, ("", None))
        if seal is None or whose != user:
            return message
        if seal.ident != message.seal:
            raise BadSeal(f"session {message.session} has another seal than {message.seal}")
        return seal.open(message)

    def forget(self, session: str) -> None:
        """The session is over: none of its keys is kept."""
        self._private.pop(session, None)
        self._seals.pop(session, None)

    def _private_of(self, session: str) -> bytes:
        if session not in self._private:
            self._private[session] = new_private(self.random)
        return self._private[session]


def _without_digests(message: Claim | Resume) -> Claim | Resume:
    """Whoever reads the digest of a command can try out what it was made of; no bridge asks for it there."""
    if isinstance(message, Claim):
        return message
    commands = tuple(command.model_copy(update={"digest": DIGEST}) for command in message.commands)
    return message.model_copy(update={"commands": commands})
