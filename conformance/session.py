"""One session as the kit's master sees it: the claim, what it was told, and every event that came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from contracts.messages import Claim, Command, Event, Offer, Resume
from contracts.trust.sealing import SealedSession


@dataclass(kw_only=True)
class Session:
    """Granted to an agent. `stored` is what the kit has told the agent; `auto_stored`: tell it by itself."""

    offer: Offer
    #: the latest claim or resume: who sent it, and where that one is reached
    claim: Union[Claim, Resume]
    incarnation: str
    stored: int = 0
    auto_stored: bool = True
    #: n -> the command that this incarnation has started
    started: dict[int, Command] = field(default_factory=dict)
    #: by number, the first copy of each
    events: dict[int, Event] = field(default_factory=dict)
    #: all, as they came
    copies: list[Event] = field(default_factory=list)
    #: numbers that came since the last grant: what may be called stored
    fresh: set[int] = field(default_factory=set)
    #: rule 24: of its last grant; None: it has none
    seal: SealedSession | None = None
    #: numbers of the events that came sealed
    sealed: set[int] = field(default_factory=set)
    #: no pings: the kit has gone silent for this session
    silent: bool = False

    @property
    def id(self) -> str:
        """As the agent named it in its claim."""
        return self.claim.session

    @property
    def address(self) -> str:
        """Where the agent hears, by its latest claim or resume."""
        return self.claim.address

    @property
    def contiguous(self) -> int:
        """The last event before a gap."""
        seq = self.stored
        while seq + 1 in self.fresh:
            seq += 1
        return seq

    def of(self, n: int, kind: str | None = None) -> list[Event]:
        """Events of command `n` in order of their numbers; `kind` None: all of them."""
        found = [self.events[seq] for seq in sorted(self.events)]
        return [event for event in found if event.n == n and kind in (None, event.kind)]

    def data(self, n: int, kind: str) -> bytes:
        """All bytes of one stream of a command, or what it uploaded (`write`)."""
        return b"".join(event.data for event in self.of(n, kind))

    def completed(self, n: int) -> Event | None:
        """The end of command `n`; None: it has not come."""
        found = self.of(n, "completed")
        return found[0] if found else None

    def updates(self, n: int) -> dict[str, Any]:
        """key -> value of a command's `update` events, the last one of each key."""
        return {event.value[0]: event.value[1] for event in self.of(n, "update") if isinstance(event.value, list)}
