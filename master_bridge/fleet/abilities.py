"""What one agent can do, and which requirements that meets: worked out once, until it can do something else. Pure.

Each agent tells all of it every few seconds, and a master asks it of each column: with a thousand agents of a thousand
capabilities that is a second of work every second, and next to nothing where only what is new is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from contracts.messages import Capability
from contracts.requirements.sets import Requirements
from contracts.requirements.terms import normal_name


class Abilities:
    def __init__(self) -> None:
        #: (name, version) of each capability, as it was told last
        self.told: tuple[tuple[str, str | None], ...] = ()
        #: what was learnt last: statuses that say the same share it (`RepeatedStatuses`)
        self._last: Iterable[Capability] | None = None
        self._by_name: dict[str, list[Capability]] = {}
        #: signature -> whether it is met
        self._met: dict[str, bool] = {}

    def learn(self, capabilities: Iterable[Capability]) -> bool:
        """Whether they are others than before."""
        if capabilities is self._last:
            return False
        self._last = capabilities = tuple(capabilities)
        # comparing the models themselves takes ten times as long
        told = tuple((each.name, each.version) for each in capabilities)
        if told == self.told:
            return False
        self.told, self._met, self._by_name = told, {}, {}
        for each in capabilities:
            self._by_name.setdefault(normal_name(each.name), []).append(each)
        return True

    def named(self, requirements: Requirements) -> list[Capability]:
        """Those of its capabilities that can decide about it."""
        return [each for name in requirements.names for each in self._by_name.get(name, ())]

    def meet(self, requirements: Requirements) -> bool:
        """As `Requirements.satisfied_by`, of those capabilities that can decide about it."""
        met = self._met.get(requirements.signature)
        if met is None:
            named = self.named(requirements)
            met = requirements.satisfied_by(named) if named else not requirements.items
            self._met[requirements.signature] = met
        return met
