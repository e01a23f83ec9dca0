"""Peers that use none of our protocol's versions: each is named once, a little of what it broadcasts is kept. Pure.

A status or an `alive` comes every few seconds for as long as its sender lives. Put into `bb.dead` each time, one agent
of another version would fill it; not put there at all, nobody could see what was not understood.
"""

from __future__ import annotations

from collections import Counter

#: Broadcasts of one peer that go to `bb.dead`; the rest is counted.
BROADCASTS_KEPT = 3
#: Peers that are remembered, and characters of a name: what such a message says is not checked. Further peers' messages
#: are counted only.
PEERS_MAX = 1000
NAME_MAX = 128


class ForeignPeers:
    """Lives as long as the link, over all its connections."""

    def __init__(self) -> None:
        #: all messages of versions that we do not know, in whatever queue
        self.heard = 0
        self._named: set[str] = set()
        self._kept: Counter[str] = Counter()

    def hear(self) -> None:
        """Count one message."""
        self.heard += 1

    def is_news(self, peer: object) -> bool:
        """True the first time for each peer: one line in a log, not one for each message."""
        name = str(peer)[:NAME_MAX]
        if name in self._named or len(self._named) >= PEERS_MAX:
            return False
        self._named.add(name)
        return True

    def keeps(self, peer: object) -> bool:
        """Whether this broadcast of `peer` is to be put into `bb.dead`."""
        name = str(peer)[:NAME_MAX]
        if self._kept[name] >= BROADCASTS_KEPT or (name not in self._kept and len(self._kept) >= PEERS_MAX):
            return False
        self._kept[name] += 1
        return True
