"""How the broker is kept from handing out a second offer of a channel while one is held: two ways. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from typing import Protocol

from worker_agent.link.port import Settle


class OneAtATime(Protocol):
    """What differs between the two ways. Times are seconds since the epoch, queues are named."""

    #: `global` of `basic.qos`: the prefetch of 1 is that of all consumers of a channel together, not of each
    shared: bool

    def quiet(self, *, holds: bool) -> bool:
        """The broker hands nothing more out on a channel before what it `holds` is settled: its consumers may stay."""

    def staying(self, consumed: Set[str], *, wanted: bool, asked: Set[str], how: Settle, source: str) -> Set[str]:
        """Queues of the `consumed` ones that stay so when an offer of the queue `source` is settled.

        `wanted`: any queue is, now; `asked`: those that will be when all orders are carried out.
        """

    def ready(self) -> None:
        """From now on the broker may hand out an offer."""

    def came(self, published: float) -> None:
        """An offer of this time came."""


class ByCancelling:
    """Each consumer has a prefetch of its own: the others are cancelled when an offer came, and started again later."""

    shared = False

    def quiet(self, *, holds: bool) -> bool:
        return False

    def staying(self, consumed: Set[str], *, wanted: bool, asked: Set[str], how: Settle, source: str) -> Set[str]:
        return consumed

    def ready(self) -> None:
        """Nothing hangs on it."""

    def came(self, published: float) -> None:
        """Nothing hangs on it."""


class BySharedPrefetch:
    """The consumers share a prefetch (`SharedPrefetch`): they stay, and come to life when the offer is settled.

    An agent whose offer had been waiting for it has a backlog before it, of which the broker would hand out any queue's
    head: then all are cancelled, and started again in the order in which the machine wants them, until one brings an
    offer.
    """

    shared = True

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: since when the broker could hand one out, and whether the last offer is older
        self._ready_at = 0.0
        self._backlog = False

    def quiet(self, *, holds: bool) -> bool:
        return holds

    def staying(self, consumed: Set[str], *, wanted: bool, asked: Set[str], how: Settle, source: str) -> Set[str]:
        if self._backlog and not wanted:
            return set()  # the order to consume that follows says whose turn it is
        if how == "give_back":  # it would come through its own at once (rule 20)
            return asked - {source}
        return asked

    def ready(self) -> None:
        """A slot is free from now on: an offer that comes may be older than this."""
        self._ready_at = self._clock()

    def came(self, published: float) -> None:
        """An offer came, published at that time (seconds since the epoch)."""
        self._backlog = published < self._ready_at  # by the master's clock; a wrong one costs cancels
