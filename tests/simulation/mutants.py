"""Planted faults: machines that break one rule each. The simulator must find every one (test_mutants.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Transform = Callable[[Any, Any, float], Any]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What is wrong with which side. `agent` and `bridge` make a faulty machine class of the real one."""

    name: str
    agent: Callable[[type[Any]], type[Any]] | None = None
    bridge: Callable[[type[Any]], type[Any]] | None = None

    def agent_machine(self, machine: type[Any]) -> type[Any]:
        return machine if self.agent is None else self.agent(machine)

    def bridge_machine(self, machine: type[Any]) -> type[Any]:
        return machine if self.bridge is None else self.bridge(machine)


NONE = Mutant(name="none")
MUTANTS: dict[str, Mutant] = {}
