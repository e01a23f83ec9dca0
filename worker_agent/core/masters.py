"""What an agent knows of its masters: who is silent (rule 19), when each was heard, and their incarnations.

heard ──a claim unanswered for 5 s, or not deliverable──> silent
  ^                                                         │
  └──────────────any message of that master─────────────────┘
"""

from __future__ import annotations

from collections import OrderedDict

#: Incarnations remembered, over all masters. Each restart of a master makes one; older ones are of no use.
INCARNATIONS = 256
#: Masters remembered; the one that was not heard for longest is forgotten. So many share no broker, but anybody who may
#: broadcast can invent names.
MASTERS = 1024


class Masters:
    """Silence, last words and incarnations, by the master's name. Times are the machine's seconds."""

    def __init__(self) -> None:
        self._silent: set[str] = set()
        self._absent: set[str] = set()
        self._heard: dict[str, float] = {}
        self._current: dict[str, str] = {}
        self._by_incarnation: OrderedDict[str, str] = OrderedDict()

    def is_silent(self, master: str) -> bool:
        return master in self._silent

    def mark_silent(self, master: str) -> bool:
        """True if the master was not silent before."""
        changed = master not in self._silent
        self._silent.add(master)
        return changed

    def mark_absent(self, master: str) -> None:
        """It has no queue at this broker: not (any more) a master here."""
        self._absent.add(master)

    def is_absent(self, master: str) -> bool:
        return master in self._absent

    def heard(self, master: str, now: float, incarnation: str | None = None) -> bool:
        """A message of the master came in. True if that ended its silence."""
        self._heard.pop(master, None)
        self._heard[master] = now
        if len(self._heard) > MASTERS:
            oldest = next(iter(self._heard))
            del self._heard[oldest]
            self._current.pop(oldest, None)
        if incarnation is not None:
            self._current[master] = incarnation
            self._by_incarnation.setdefault(incarnation, master)  # nobody takes over another's
            self._by_incarnation.move_to_end(incarnation)
            if len(self._by_incarnation) > INCARNATIONS:
                self._by_incarnation.popitem(last=False)
        changed = master in self._silent
        self._silent.discard(master)
        self._absent.discard(master)
        return changed

    def heard_at(self, master: str) -> float | None:
        return self._heard.get(master)

    def incarnation(self, master: str) -> str | None:
        """The incarnation that spoke last; None while none was named."""
        return self._current.get(master)

    def master_of(self, incarnation: str) -> str | None:
        """Whose incarnation it is; most messages of a session name only that."""
        return self._by_incarnation.get(incarnation)
