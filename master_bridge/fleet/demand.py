"""How many slots each column wants: what a scaler, whatever it is, makes machines for. Pure.

Never the depth of a queue: that counts offers that are parked, stale or in several queues, and none that is held.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

#: States of requests without an agent, and of those that have one.
WAITING = ("window", "waiting", "granted")
RUNNING = ("held", "missing")


class WantsSlot(Protocol):
    """A request: `core.records.RequestView` of one's own, `contracts.messages.WorkView` of any master's."""

    @property
    def signature(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def since(self) -> float: ...


@dataclass(kw_only=True)
class Demand:
    """Of one column, which is a signature here. `oldest`: since when its first one waits, on the requests' clock."""

    waiting: int = 0
    running: int = 0
    oldest: float | None = None

    @property
    def slots(self) -> int:
        """Wanted now: by what runs and by what waits."""
        return self.waiting + self.running


def demand(requests: Iterable[WantsSlot], columns: Iterable[str] = ()) -> dict[str, Demand]:
    """By signature, of all that want something, and of `columns` where nothing does."""
    found = {signature: Demand() for signature in columns}
    for request in requests:
        if not request.signature or request.state not in (*WAITING, *RUNNING):
            continue
        column = found.setdefault(request.signature, Demand())
        if request.state in RUNNING:
            column.running += 1
        else:
            column.waiting += 1
            column.oldest = request.since if column.oldest is None else min(column.oldest, request.since)
    return found
