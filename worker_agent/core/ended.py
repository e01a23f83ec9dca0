"""Sessions that this agent had: whatever comes for one of them is answered `gone` (rule 7).

An answer `gone` that must reach the bridge unasked (the session was lost, killed or has diverged) is published again at
each link-up until the broker has confirmed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from contracts.machines.bounded import Bounded

#: Ended sessions remembered. One costs up to 2 KB of resident memory; a message for an older one finds no addressee to
#: tell.
REMEMBERED = 1024

Reason = Literal["unknown", "lost", "diverged", "refused", "released", "killed", "disk", "memory"]


@dataclass(kw_only=True)
class EndedSession:
    """What is remembered of a session that is over, enough to answer `gone`."""

    session: str
    master: str
    request: str
    reason: Reason
    detail: str
    #: what the session showed (rule 21); None: it was never here
    ticket: str | None
    #: still to be told to the bridge, unasked
    owed: bool


class EndedSessions:
    """The last `REMEMBERED` ended sessions, oldest out first."""

    def __init__(self) -> None:
        self._ended: Bounded[str, EndedSession] = Bounded(REMEMBERED)

    def add(self, ended: EndedSession) -> None:
        """Remember it."""
        self._ended.put(ended.session, ended)

    def get(self, session: str) -> EndedSession | None:
        """None: it was never here, or is forgotten."""
        return self._ended.get(session)

    def told(self, session: str) -> None:
        """The broker has confirmed the `gone` of this session."""
        ended = self._ended.get(session)
        if ended is not None:
            ended.owed = False

    def owed(self) -> Iterator[EndedSession]:
        """Those that the bridge has not been told yet."""
        return iter([ended for ended in self._ended.values() if ended.owed])
