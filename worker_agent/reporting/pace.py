"""How often the agent tells its status where nothing is new: as often as that master wants which wants it most often.

A large fleet would cost its masters and the broker a core, were each agent to say every 5 s that it is still there. So
masters say in `alive` how seldom is enough for them (rule 27). Pure; times are monotonic seconds.
"""

from __future__ import annotations

from random import Random

from contracts.timing import STATUS_INTERVAL, STATUSES_WANTED_FOR


class StatusPace:
    """Asked at each regular look, every `STATUS_INTERVAL` seconds, whether it is time to tell.

    Where the interval changes, the next time is anywhere within the new one, and so it is after a roll call: thousands
    of agents hear of it at the same moment, and are not to tell at the same moment from then on.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        #: interval -> when a master wanted it last. Masters are not told apart: nobody's names fill this
        self._wanted: dict[int, float] = {}
        #: looks of an interval, as it was at the last one, and those until the next time
        self._looks = self._left = 1

    def master_wants(self, every: int, now: float) -> None:
        """A master is there, and that is often enough for it (seconds)."""
        self._wanted[every] = now

    def master_new(self) -> None:
        """A master is there that knows nothing of the fleet: it is told at the next look."""
        self._left = 1
        self._looks = 0  # as where the interval changes: all others are told of at that look, too

    def every(self, now: float) -> int:
        """Seconds between two statuses: the least that a living master wants; the usual ones where none is there."""
        self._wanted = {every: at for every, at in self._wanted.items() if now - at <= STATUSES_WANTED_FOR}
        return min(self._wanted, default=int(STATUS_INTERVAL))

    def look(self, now: float) -> bool:
        """Is it to be told now? An interval that is no multiple of the looks' is made shorter."""
        looks = int(self.every(now) // STATUS_INTERVAL)
        if self._left > looks:
            self._left = self._random.randint(1, looks)
        self._left -= 1
        if self._left > 0:
            return False
        self._left = looks if looks <= self._looks else self._random.randint(1, looks)
        self._looks = looks
        return True
