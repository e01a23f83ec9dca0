"""Which units make a shard for an agent that has come: those that it can end by the time when all others end theirs.

The longest first; a part of what is left, in proportion to the agent's speed; so smaller towards the end.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from master_bridge.core.battery.bounds import SHARD_BYTES_MAX, SHARD_UNITS_MAX, SHARD_UNITS_UNKNOWN
from master_bridge.core.battery.estimates import Estimates

#: What an agent is to do of all that is left, divided by this, is its next shard: more where timings tell how long
#: units take. By how much it is wrong is made good by those who end earlier, with what is left then; what is lost with
#: an agent is a shard. (2 costs least with nobody lost, 2.5 a hundredth more; of a loss at half time it saves a third.)
PART_TIMED = 2.5
PART_UNTIMED = 3
#: Of an agent's first shard, of which nothing is known: it may be as many times slower than others as it gets less.
PART_UNKNOWN = 8
#: Nor does it get one unit that is longer than this part of what an agent of usual speed does of all that is left.
LONGEST_UNKNOWN = 4
#: An agent that is slower than this part of the fastest one's speed gets no unit that is longer than this part of what
#: it is to do of all that is left: units are longer, and agents slower, than expected at times. There are shorter ones.
FAST = 0.7
LONGEST_SLOW = 2
#: A shard's own cost (it is measured): some tenths of a second for its session, and what its program takes to start.
#: No shard is made shorter than the first, or than three times the second, on purpose.
SHORTEST = 0.5
WORTH = 3.0
#: Where timings tell how long units take, that cost is to be a twentieth of a shard, as long as the agent's share is
#: divided by this. (With 60 s for all and 1 s a shard: 1.13 times the least that is possible, else 1.16.)
CHEAP = 20.0
PART_LEAST = 1.5


@dataclass(frozen=True, kw_only=True)
class Share:
    """What an agent may take at most, in the weights of `Estimates`. One unit is taken in any case."""

    #: all of a shard
    size: float
    #: one unit of it: longer ones are left to faster agents
    longest: float = inf
    units: int = SHARD_UNITS_MAX


def share(estimates: Estimates, agent: str, *, seconds_left: float, fastest: float, target_seconds: float) -> Share:
    """Of an agent that has come.

    `seconds_left`: until all is run, if all agents are busy until then; `fastest`: the greatest speed among them.
    """
    speed = estimates.speeds.of(agent)
    whole = seconds_left * speed
    if not estimates.informed:
        return Share(size=whole / PART_UNKNOWN, units=SHARD_UNITS_UNKNOWN)
    worth = max(SHORTEST, WORTH * estimates.overhead) * speed
    part, longest = whole / PART_UNTIMED, inf
    if estimates.timed:
        part = max(whole / PART_TIMED, min(CHEAP * estimates.overhead * speed, whole / PART_LEAST))
    if not estimates.speeds.knows(agent):
        part, longest = whole / PART_UNKNOWN, whole / LONGEST_UNKNOWN
    elif speed < FAST * fastest:
        longest = whole / LONGEST_SLOW
    # yet nobody is idle while another one runs what could be divided
    return Share(size=min(max(part, min(worth, whole)), target_seconds * speed), longest=longest)


class Queue:
    """Units that wait to be put into shards."""

    def __init__(self, units: Iterable[str], estimates: Estimates) -> None:
        self._estimates = estimates
        #: sorted, the longest last; the second figure keeps units of one length in the order in which they were given
        self._waiting = sorted((estimates.weight(unit), -place, unit) for place, unit in enumerate(units))
        self._again = len(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)

    def put_back(self, unit: str) -> None:
        """It is to run once more."""
        self._again += 1
        insort(self._waiting, (self._estimates.weight(unit), -self._again, unit))

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, share: Share) -> tuple[str, ...]:
        """The next shard's units: the longest that are not too long, or else the shortest of all."""
        end = max(1, bisect_right(self._waiting, (share.longest, inf, "")))
        taken: list[str] = []
        weight, room, start = 0.0, SHARD_BYTES_MAX, end
        while start > 0 and len(taken) < share.units:
            next_weight, _, unit = self._waiting[start - 1]
            room -= len(unit.encode()) + 1
            if taken and (weight + next_weight > share.size or room < 0):
                break
            start -= 1
            taken.append(unit)
            weight += next_weight
        del self._waiting[start:end]
        return tuple(taken)
