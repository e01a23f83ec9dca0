"""Which agents would serve which columns: for tests of a `master.cfg`, without a broker and without a build.

A fleet is a mapping of agents' names to what they can do, as on an agent's command line: `"gtk=3.24"`, `"make"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.messages import Capability
from contracts.requirements.sets import Requirements

Fleet = Mapping[str, Iterable[str]]


def capabilities(*texts: str) -> tuple[Capability, ...]:
    """`capabilities("gtk=3.24", "make")`: facts about an agent. Without `=` the version is unknown."""
    parts = (text.partition("=") for text in texts)
    return tuple(Capability(name=name, version=version or None) for name, _, version in parts)


@dataclass(frozen=True, kw_only=True)
class Column:
    """Builders that ask for the same, with the agents of a fleet that qualify."""

    signature: str
    builders: tuple[str, ...]
    served_by: tuple[str, ...]
    #: agent -> what it lacks: "has gtk 2.24, needs gtk>=3"
    misses: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        lacking = [f"{agent}: {', '.join(texts)}" for agent, texts in sorted(self.misses.items())]
        return f"column {self.signature} ({', '.join(self.builders)}): " + (
            f"served by {', '.join(self.served_by)}" if self.served_by else f"nobody qualifies; {'; '.join(lacking)}"
        )


def column(requires: Iterable[str], fleet: Fleet, *, builders: Iterable[str] = ()) -> Column:
    """Who of `fleet` would serve a column with these requirements. Raises `BadRequirement`."""
    return _column(Requirements.of(requires), fleet, builders)


def _column(requirements: Requirements, fleet: Fleet, builders: Iterable[str]) -> Column:
    served: list[str] = []
    misses: dict[str, tuple[str, ...]] = {}
    for agent, texts in fleet.items():
        facts = capabilities(*texts)
        if requirements.satisfied_by(facts):
            served.append(agent)
        else:
            misses[agent] = tuple(requirements.misses(facts))
    return Column(
        signature=requirements.signature, builders=tuple(builders), served_by=tuple(sorted(served)), misses=misses
    )


def columns_of(config: Mapping[str, Any], fleet: Fleet) -> tuple[Column, ...]:
    """The columns of a `BuildmasterConfig` (the `c` of a master.cfg): its AMQP workers, grouped by what they ask for.

    Workers of other kinds are left out.
    """
    signatures = {worker.name: worker.signature for worker in config["workers"] if hasattr(worker, "signature")}
    builders: dict[str, set[str]] = {signature: set() for signature in signatures.values()}
    for builder in config.get("builders", ()):
        for name in builder.workernames:
            if name in signatures:
                builders[signatures[name]].add(builder.name)
    return tuple(
        _column(Requirements.from_signature(signature), fleet, sorted(names))
        for signature, names in sorted(builders.items())
    )


def assert_served(columns: Iterable[Column], *, at_least: int = 1) -> None:
    """Raises AssertionError that names every column with fewer than `at_least` agents, and what the others lack."""
    poor = [str(column) for column in columns if len(column.served_by) < at_least]
    if poor:
        raise AssertionError(f"fewer than {at_least} agents for:\n" + "\n".join(poor))
