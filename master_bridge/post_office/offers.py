"""The `cap.*` queues of a post office: offers that wait, that an agent holds, or that are parked. Pure."""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from contracts.codec import Wire


@dataclass(frozen=True, kw_only=True, order=True)
class WaitingOffer:
    """Ordered as it is handed out: by priority, then by its place, which it keeps when it is given back."""

    rank: int  # the priority, negated
    place: int
    queue: str = field(compare=False)
    wire: Wire = field(compare=False)
    redelivered: bool = field(compare=False, default=False)
    parkings: int = field(compare=False, default=0)
    #: who published it; "": the office's own master
    user: str = field(compare=False, default="")

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.wire.body) + sum(len(name) + len(str(value)) for name, value in self.wire.headers.items())


@dataclass
class WaitingOffers:
    """All of them. `bytes_max`: of all offers together, those that are held or parked, too."""

    bytes_max: int
    parked_for: float
    bytes: int = 0
    _waiting: dict[str, list[WaitingOffer]] = field(default_factory=dict)
    _parked: list[tuple[float, int, WaitingOffer]] = field(default_factory=list)
    _places: int = 0

    def declare(self, queue: str) -> None:
        self._waiting.setdefault(queue, [])

    def exists(self, queue: str) -> bool:
        return queue in self._waiting

    def delete(self, queue: str) -> bool:
        """False: something waits in it, or there is none."""
        if self._waiting.get(queue, True):
            return False
        del self._waiting[queue]
        return True

    def add(self, queue: str, wire: Wire, priority: int, user: str = "") -> bool:
        """At the end of its priority. False: there is no such queue, or no room."""
        offer = WaitingOffer(rank=-priority, place=self._next(), queue=queue, wire=wire, user=user)
        if queue not in self._waiting or self.bytes + offer.size > self.bytes_max:
            return False
        self.bytes += offer.size
        insort(self._waiting[queue], offer)
        return True

    def take(self, queue: str) -> WaitingOffer | None:
        """The next one of this queue: whoever takes it settles it."""
        waiting = self._waiting.get(queue)
        return waiting.pop(0) if waiting else None

    def give_back(self, offer: WaitingOffer) -> None:
        """To where it was, marked as redelivered; lost where its queue is gone."""
        self._put(replace(offer, redelivered=True))

    def park(self, offer: WaitingOffer, now: float) -> None:
        """It comes back to the end of its queue after a while."""
        parked = replace(offer, parkings=offer.parkings + 1, redelivered=False)
        heapq.heappush(self._parked, (now + self.parked_for, offer.place, parked))

    def drop(self, offer: WaitingOffer) -> None:
        """It is done with."""
        self.bytes -= offer.size

    def unpark(self, now: float) -> Iterator[str]:
        """Queues to which something has come back."""
        while self._parked and self._parked[0][0] <= now:
            _, _, offer = heapq.heappop(self._parked)
            self._put(replace(offer, place=self._next()))
            yield offer.queue

    @property
    def deadline(self) -> float | None:
        """When the next parked one comes back."""
        return self._parked[0][0] if self._parked else None

    @property
    def queues(self) -> list[str]:
        """All that are there, by name."""
        return sorted(self._waiting)

    @property
    def parked(self) -> int:
        """How many are parked."""
        return len(self._parked)

    def waiting(self, queue: str) -> tuple[WaitingOffer, ...]:
        """In the order in which they are handed out."""
        return tuple(self._waiting.get(queue, ()))

    def remove(self, queue: str, places: frozenset[int]) -> None:
        """Those of these places that still wait in it."""
        for offer in self.waiting(queue):
            if offer.place in places:
                self._waiting[queue].remove(offer)
                self.drop(offer)

    def _put(self, offer: WaitingOffer) -> None:
        if offer.queue in self._waiting:
            insort(self._waiting[offer.queue], offer)
        else:
            self.drop(offer)

    def _next(self) -> int:
        self._places += 1
        return self._places
