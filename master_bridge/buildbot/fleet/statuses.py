"""How often a master wants to be told what agents are (rule 27): a large fleet less often, at the same cost. Pure.

What matters of an agent (its state, its queues, its slots) it tells at once when it changes. The regular statuses, of
which a fleet of 5,000 would tell a thousand a second, say only that it is still there.
"""

from __future__ import annotations

from contracts.messages import Status
from contracts.timing import STATUS_INTERVAL, STATUS_INTERVAL_MAX

#: Statuses a second, of all agents together, from which on a master wants fewer: those of 1,000 agents at the usual
#: interval. They take 2.4 % of a core of the master, which reads them all (docs/benchmarks.md).
A_SECOND = 200
#: Intervals are multiples of this.
STEP = int(STATUS_INTERVAL)
#: Agents that are counted: of more the interval is no longer. A hostile account makes nobody remember more.
COUNTED_MAX = A_SECOND * STATUS_INTERVAL_MAX
#: The interval becomes shorter once it would be so with a ninth more agents, too: it stays while one comes and goes.
_MARGIN = 9


def status_interval(agents: int, before: int = STEP) -> int:
    """Seconds between two statuses of each of so many agents; `before`: as it is now.

    >>> [status_interval(agents) for agents in (0, 1, 1_000, 1_001, 2_000, 5_000, 100_000)]
    [5, 5, 5, 10, 10, 25, 60]
    """
    wanted = _at_least(agents)
    return max(wanted, min(before, _at_least(agents + agents // _MARGIN)))


def _at_least(agents: int) -> int:
    """As long as it must be for `A_SECOND`, within the bounds."""
    steps = -(-agents // (A_SECOND * STEP))
    return min(max(steps, 1) * STEP, STATUS_INTERVAL_MAX)


class CountedAgents:
    """All agents that were heard lately, also those of which nothing else is kept. Times are monotonic seconds."""

    def __init__(self) -> None:
        #: (broker user, instance) -> when it is silent
        self._until: dict[tuple[str, str], float] = {}
        self._every = STEP

    def hear(self, agent: tuple[str, str], status: Status, now: float) -> None:
        """`agent`, which is its account and instance, told `status`."""
        if status.state == "leaving":
            self._until.pop(agent, None)
        elif agent in self._until or len(self._until) < COUNTED_MAX:
            self._until[agent] = now + status.silent_after

    def every(self, now: float) -> int:
        """How often each is to tell its status, in seconds."""
        for agent in [agent for agent, until in self._until.items() if until < now]:
            del self._until[agent]
        self._every = status_interval(len(self._until), self._every)
        return self._every
