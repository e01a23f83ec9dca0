"""How many agents are in which state and serve which column, kept as each changes: a look need not count all. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from master_bridge.fleet.last_heard import Key


@dataclass(frozen=True)
class AgentCount:
    """What one agent counts for. `busy`, `free`: slots."""

    state: str
    takes_work: bool
    busy: int
    free: int
    #: signatures of columns
    serves: Sequence[str]


@dataclass
class ColumnTally:
    """Of one signature: agents that qualify and take work, those that take none; slots of all of them."""

    qualified: int = 0
    unfit: int = 0
    busy: int = 0
    free: int = 0

    def add(self, agent: AgentCount, times: int) -> None:
        """`times`: 1, or -1 for one that counts no more."""
        if agent.takes_work:
            self.qualified += times
            self.busy += times * agent.busy
        else:
            self.unfit += times
        self.free += times * agent.free


class Tally:
    """Of all agents that were `put` and not dropped."""

    def __init__(self) -> None:
        self._agents: dict[Key, AgentCount] = {}
        self._states: Counter[str] = Counter()
        self._columns: dict[str, ColumnTally] = {}
        self._all = ColumnTally()

    def put(self, key: Key, agent: AgentCount) -> None:
        """From now on this is what it counts for."""
        self.drop(key)
        self._agents[key] = agent
        self._add(agent, 1)

    def drop(self, key: Key) -> None:
        """It is not kept any more, or was not counted."""
        agent = self._agents.pop(key, None)
        if agent is not None:
            self._add(agent, -1)

    def _add(self, agent: AgentCount, times: int) -> None:
        self._states[agent.state] += times
        self._all.add(agent, times)
        for signature in agent.serves:
            column = self._columns.setdefault(signature, ColumnTally())
            column.add(agent, times)
            if not column.qualified and not column.unfit:
                del self._columns[signature]

    @property
    def states(self) -> Mapping[str, int]:
        """State -> agents in it."""
        return +self._states

    @property
    def all(self) -> ColumnTally:
        """Of all agents, whatever they serve."""
        return self._all

    def of(self, signature: str) -> ColumnTally:
        """Of those that serve it."""
        return self._columns.get(signature, ColumnTally())
