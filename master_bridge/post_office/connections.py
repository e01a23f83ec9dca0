"""Who is connected to a post office: addresses, what each wants to be handed, what each holds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from master_bridge.post_office.offers import WaitingOffer

#: Offers that one connection holds at most: an agent has not so many slots.
HELD_MAX = 256


@dataclass(eq=False)
class OfficeConnection:
    """One that has logged in."""

    number: int
    user: str
    address: str
    role: Literal["agent", "operator"]
    #: offers that were handed to it, ever
    handed: int = 0
    held: dict[int, WaitingOffer] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()

    @property
    def operates(self) -> bool:
        return self.role == "operator"


@dataclass
class OfficeConnections:
    """All of them, and which are ready for an offer: whoever has been so for longest is the first."""

    _all: dict[int, OfficeConnection] = field(default_factory=dict)
    _addresses: dict[str, OfficeConnection] = field(default_factory=dict)
    #: queue -> those that want the next offer of it, the first first
    _ready: dict[str, dict[int, OfficeConnection]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[OfficeConnection]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def get(self, number: int) -> OfficeConnection | None:
        return self._all.get(number)

    def at(self, address: str) -> OfficeConnection | None:
        """Who is told things there."""
        return self._addresses.get(address)

    def add(self, connection: OfficeConnection) -> bool:
        """False: somebody has that address, or that number."""
        if connection.number in self._all or connection.address in self._addresses:
            return False
        self._all[connection.number] = self._addresses[connection.address] = connection
        return True

    def remove(self, connection: OfficeConnection) -> None:
        self.not_ready(connection)
        del self._all[connection.number]
        del self._addresses[connection.address]

    def want(self, connection: OfficeConnection, queues: tuple[str, ...]) -> None:
        """It is ready for one offer of these; where it was so before it keeps its place in the queues that stay."""
        stays = set(queues)
        for queue in connection.wanted:
            if queue not in stays:
                self._leave(queue, connection)
        connection.wanted = queues
        for queue in queues:
            self._ready.setdefault(queue, {})[connection.number] = connection

    def not_ready(self, connection: OfficeConnection) -> None:
        """It has an offer, or has gone."""
        for queue in connection.wanted:
            self._leave(queue, connection)
        connection.wanted = ()

    def first(self, queue: str) -> OfficeConnection | None:
        """Who gets the next offer of this queue."""
        return next(iter(self._ready.get(queue, {}).values()), None)

    def of_queue(self, queue: str) -> list[OfficeConnection]:
        """Those that want the next offer of it."""
        return list(self._ready.get(queue, {}).values())

    def _leave(self, queue: str, connection: OfficeConnection) -> None:
        ready = self._ready.get(queue)
        if ready is not None:
            ready.pop(connection.number, None)
            if not ready:
                del self._ready[queue]
