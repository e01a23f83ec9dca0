"""May this agent take new work? The self-check says so, and so do keepers that end before they have done anything.

An agent that cannot start keepers (full process table, no memory) would be the fastest of all: it would claim and
lose every build in the queue, one after the other. So it takes nothing for a while, longer with each failure.
"""

from __future__ import annotations

#: First pause after a keeper that failed; doubles with each further one …
PAUSE = 5.0
#: … up to this.
PAUSE_MAX = 60.0


class Fitness:
    """Times are the machine's seconds."""

    def __init__(self) -> None:
        #: the self-check's verdict: reasons against new work
        self.unwell: tuple[str, ...] = ()
        self._pause = PAUSE
        #: nothing is taken before; None: no pause
        self.paused_until: float | None = None

    def keeper_failed(self, now: float) -> float:
        """A keeper ended before it journalled anything; returns the seconds of the pause that follows."""
        pause, self._pause = self._pause, min(2 * self._pause, PAUSE_MAX)
        self.paused_until = now + pause
        return pause

    def keeper_works(self) -> None:
        """A session journalled its first event: the next failure is a first one again."""
        self._pause = PAUSE

    def turn(self, now: float) -> None:
        """Time has come to `now`: a pause that is over is forgotten."""
        if self.paused_until is not None and self.paused_until <= now:
            self.paused_until = None
