"""Which senders this agent believes: with trusted keys, only what a master signed with one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

if TYPE_CHECKING:
    from contracts.trust.signing import Repetition, Verifier

log = structlog.get_logger(__name__)


class Signed(Protocol):
    """What of a message its signature is over, and in."""

    body: bytes

    @property
    def headers(self) -> Mapping[str, Any]: ...


_DIGITS = re.compile("[0-9]+")
#: Refusals that are told; what comes after so many different ones is counted only.
SAID_MAX = 1000


class Trust:
    """Lives as long as the process: what was sent once is not believed on a later link either.

    `trusted_keys` are PEM files or their text; none: everybody whom the broker lets in is believed, and nothing is
    imported.
    """

    def __init__(self, trusted_keys: Iterable[Path | str] = ()) -> None:
        """Raises `contracts.trust.signing.BadKey`."""
        self._verifier: Verifier | None = None
        #: messages refused so far
        self.refused = 0
        self._said: set[tuple[str, str]] = set()
        sources = tuple(trusted_keys)
        if sources:
            from contracts.trust.signing import Verifier

            self._verifier = Verifier.from_pem(sources)
            log.info("trusted_keys_loaded", keys=self._verifier.key_ids)

    def refusal(self, message: Signed, exchange: str, key: str, *, fresh: bool) -> str | None:
        """Why this message, addressed to `key` on `exchange`, is not believed; None: it is."""
        if self._verifier is None:
            return None
        from contracts.trust.signing import NotTrusted

        try:
            self._verifier.check(exchange, key, message.body, message.headers, fresh=fresh)
        except NotTrusted as error:
            self.refused += 1
            return str(error)
        return None

    def repetition(self, message: Signed) -> Repetition | None:
        """Why an offer that was not refused is no first delivery, as far as its signature shows; None: it is one."""
        return None if self._verifier is None else self._verifier.repetition(message.headers)

    def is_news(self, reason: str, key: str) -> bool:
        """True for the first refusal of a message to this address for this reason, whatever its numbers are."""
        said = (_DIGITS.sub("#", reason), key)
        if said in self._said or len(self._said) >= SAID_MAX:
            return False
        self._said.add(said)
        return True
