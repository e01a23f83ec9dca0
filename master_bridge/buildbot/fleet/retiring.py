"""Queues of columns that are gone from the configuration: deleted when empty, never with work in them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

#: A signature must be missing for this long (seconds): while a master starts, its columns come one after the other.
RETIRE_AFTER = 15.0


class RetiredSignatures:
    """Signatures for which this master had columns, and when each was missed first.

    `known` is what to remember across restarts: all that were wanted and whose queues were not deleted since.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self._missing: dict[str, float] = {}

    def remember(self, signatures: Iterable[str]) -> None:
        """Those of the master's former life."""
        self.known.update(signatures)

    def update(self, wanted: set[str], now: float) -> None:
        """`wanted`: those that columns have now; `now`: monotonic seconds."""
        self.known |= wanted
        self._missing = {signature: self._missing.get(signature, now) for signature in self.known - wanted}

    def due(self, now: float, wanted_elsewhere: Callable[[str], bool]) -> list[str]:
        """Those to delete now, if they are empty. One that another master wants is that master's from here on."""
        result = []
        for signature, since in list(self._missing.items()):
            if now - since < RETIRE_AFTER:
                continue
            if wanted_elsewhere(signature):
                self.deleted(signature)
            else:
                result.append(signature)
        return sorted(result)

    def deleted(self, signature: str) -> None:
        """Its queue is gone."""
        self.known.discard(signature)
        self._missing.pop(signature, None)
