"""What the machine is told once, when the agent starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.messages import Capability, WorkerInfo


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Who this agent is, and how many sessions it holds at a time."""

    #: the uuid of the state folder (rule 2)
    instance: str
    #: the agent's name, for people
    agent: str
    #: at most this many sessions at a time, from 1
    slots: int
    #: (master, slot) -> what Buildbot wants to know of the worker
    worker_info: Callable[[str, int], WorkerInfo]
    #: what the agent can do at the moment
    capabilities: Callable[[], tuple[Capability, ...]]
    #: it has what sealing needs (rule 24)
    seals: bool = False
