"""What the bridge remembers of sessions and requests that it has no record of any more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

#: Entries kept of each kind. A busy master ends some 100,000 sessions a day; an agent that was cut off comes back
#: within hours, and what is forgotten is looked up in Buildbot's database instead (rule 5).
REMEMBERED = 20_000

#: how a session ended: an agent that still has it must drop it (refuse), or was done with it (release)
Verdict = Literal["given up", "released"]


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened to a request in this incarnation of the bridge."""

    #: offers published, or traces met of an earlier incarnation's: the next one asks (rule 16)
    known: bool = False
    #: sessions lost with a command running (rule 20)
    lives: int = 0


@lru_cache(maxsize=64)
def history_of(known: bool, lives: int) -> History:
    """One object for all requests of which the same is known: nearly all of 20,000 have one, and 90 bytes less each."""
    return History(known=known, lives=lives)
