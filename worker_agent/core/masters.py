"""What an agent knows of its masters: who is silent (rule 19), when each was heard, and their incarnations.

heard ──a claim unanswered for 5 s, or not deliverable──> silent
  ^                                                         │
  └──────────────any message of that master─────────────────┘
"""

from __future__ import annotations

from typing import NamedTuple

from contracts.machines.bounded import Bounded

#: Incarnations remembered, over all masters. Each restart of a master makes one; older ones are of no use.
INCARNATIONS = 256
#: Masters remembered; the one that was not heard for longest is forgotten. So many share no broker, but anybody who may
#: broadcast can invent names.
MASTERS = 1024


class MasterId(NamedTuple):
    """A master's name, and the broker user under which it sends: messages of another user are not its own."""

    name: str
    user: str


class Masters:
    """Silence, latest status and incarnations of each master. Times are the machine's seconds."""

    def __init__(self) -> None:
        # one that is forgotten is asked once more, with the next of its offers
        self._silent: Bounded[MasterId, bool] = Bounded(MASTERS)
        self._absent: Bounded[MasterId, bool] = Bounded(MASTERS)
        self._announced: Bounded[MasterId, bool] = Bounded(MASTERS)
        #: when, and the incarnation that spoke last
        self._heard: Bounded[MasterId, tuple[float, str | None]] = Bounded(MASTERS)
        self._by_incarnation: Bounded[tuple[str, str], MasterId] = Bounded(INCARNATIONS)

    def is_silent(self, master: MasterId) -> bool:
        """A claim was not answered, and nothing was heard of it since (rule 19)."""
        return master in self._silent

    def mark_silent(self, master: MasterId) -> bool:
        """True if the master was not silent before."""
        changed = master not in self._silent
        self._silent.put(master, True)
        return changed

    def mark_absent(self, master: MasterId) -> None:
        """It has no queue at this broker: not (any more) a master here."""
        self._absent.put(master, True)

    def is_absent(self, master: MasterId) -> bool:
        """It has no queue at this broker: a message for it came back."""
        return master in self._absent

    def is_disowned(self, master: MasterId) -> bool:
        """A master of this name has told all agents that it is there, but as another user: this one is nobody."""
        return master not in self._announced and any(known.name == master.name for known in self._announced)

    def announced(self, master: MasterId) -> None:
        """It said so in a broadcast."""
        self._announced.put(master, True)

    def heard(self, master: MasterId, now: float, incarnation: str | None = None) -> bool:
        """A message of the master came in. True if that ended its silence."""
        self._heard.put(master, (now, incarnation or self.incarnation(master)))
        if incarnation is not None:
            spoken = (incarnation, master.user)
            self._by_incarnation.put(spoken, self._by_incarnation.get(spoken) or master)  # nobody takes over another's
        self._absent.discard(master)
        return self._silent.discard(master)

    def heard_at(self, master: MasterId) -> float | None:
        """When a message of it came last, in monotonic seconds; None: not since the start."""
        found = self._heard.get(master)
        return None if found is None else found[0]

    def incarnation(self, master: MasterId) -> str | None:
        """The incarnation that spoke last; None while none was named."""
        found = self._heard.get(master)
        return None if found is None else found[1]

    def master_of(self, incarnation: str, user: str) -> MasterId | None:
        """Whose incarnation it is that `user` names; most messages of a session name only that."""
        return self._by_incarnation.get((incarnation, user))
