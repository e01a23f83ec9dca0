"""Which agents come nearest to what is asked, and what they lack, in few words: "3 agents lack wx". Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.messages import Capability
from contracts.requirements.sets import Requirements


@dataclass(frozen=True, kw_only=True)
class Miss:
    """Agents, sorted by name, that all lack the same: one phrase for each requirement that they do not meet."""

    agents: tuple[str, ...]
    phrases: tuple[str, ...]

    def __str__(self) -> str:
        who = self.agents[0] if len(self.agents) == 1 else f"{len(self.agents)} agents"
        return f"{who} {', '.join(self.phrases)}"


def nearest_misses(requirements: Requirements, agents: Iterable[tuple[str, Sequence[Capability]]]) -> tuple[Miss, ...]:
    """Those of `agents` (name, what it has) that do not qualify, grouped; who lacks least comes first."""
    alike: dict[tuple[tuple[str, str | None], ...], list[tuple[str, Sequence[Capability]]]] = {}
    for name, capabilities in agents:
        alike.setdefault(tuple((each.name, each.version) for each in capabilities), []).append((name, capabilities))
    groups: dict[tuple[str, ...], list[tuple[str, Sequence[Capability]]]] = {}
    for members in alike.values():
        misses = requirements.misses(members[0][1])
        if misses:
            groups.setdefault(misses, []).extend(members)
    found = [
        Miss(
            agents=tuple(sorted(name for name, _ in group)),
            phrases=requirements.misses(group[0][1], many=len(group) > 1),
        )
        for group in groups.values()
    ]
    return tuple(sorted(found, key=lambda miss: (len(miss.phrases), miss.agents[0])))
