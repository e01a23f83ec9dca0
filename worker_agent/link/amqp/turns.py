"""Whether offers wait for an agent whose consumers share their prefetch: then its queues must take turns. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable


class Turns:
    """An agent whose offer had been waiting for it has a backlog before it. Times are seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._ready_at = 0.0
        #: the last offer had been there before the agent was ready for one
        self.backlog = False

    def ready(self) -> None:
        """A slot is free from now on: an offer that comes may be older than this."""
        self._ready_at = self._clock()

    def came(self, published: float) -> None:
        """An offer came, published at that time."""
        self.backlog = published < self._ready_at  # by the master's clock; a wrong one costs cancels
