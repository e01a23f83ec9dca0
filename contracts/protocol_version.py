"""Which versions of the protocol this code knows, and what two peers that know different ones agree on. Pure.

docs/protocol.md, "Versions", has the rules. This module is the only place that changes with a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import FIFOCache

#: The newest version of the protocol that this code knows, and the oldest that it still does.
VERSION = 1
OLDEST_VERSION = 1
#: Peers remembered by `Agreements`; addresses are new with each connection of an agent.
PEERS_MAX = 10_000


@dataclass(frozen=True, kw_only=True)
class Versions:
    """All versions from `oldest` to `newest`, both included."""

    oldest: int
    newest: int

    @classmethod
    def of_message(cls, fields: Mapping[str, Any]) -> Versions:
        """In which versions a message means the same: `v` up to `upto`, `v` alone without that.

        Raises ValueError for what is no version.
        """
        oldest = fields.get("v", OLDEST_VERSION)
        newest = fields.get("upto", oldest)
        for value in (oldest, newest):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{str(value)[:40]!r} is no version of the protocol")
        if newest < oldest:
            raise ValueError(f"versions {oldest} to {newest}: the second is older than the first")
        return cls(oldest=oldest, newest=newest)

    def common(self, other: Versions) -> int | None:
        """The newest version that both know."""
        newest = min(self.newest, other.newest)
        return newest if newest >= max(self.oldest, other.oldest) else None

    def __str__(self) -> str:
        return str(self.oldest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"


OURS = Versions(oldest=OLDEST_VERSION, newest=VERSION)


class Agreements:
    """Peer -> the version agreed with it: an agent's address for a bridge, a master's name for an agent."""

    def __init__(self) -> None:
        self._agreed: FIFOCache[str, int] = FIFOCache(PEERS_MAX)

    def learn(self, peer: str, theirs: Versions) -> None:
        """It knows these, as its last claim, resume or grant said."""
        agreed = OURS.common(theirs)
        if agreed is None:
            raise ValueError(f"{peer}: {theirs} and {OURS} have nothing in common")
        self._agreed[peer] = agreed

    def with_peer(self, peer: str) -> int:
        """Which version to use with it: before anything is agreed the oldest, which is most likely understood."""
        return self._agreed.get(peer, OLDEST_VERSION)
