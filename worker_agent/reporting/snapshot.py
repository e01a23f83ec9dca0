"""How an agent is, at one moment: all that its reports are made of. The agent takes it, reports only read it."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.messages import Capability, SlotStatus
from worker_agent.core.availability import Availability


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the fleet is told, and what people see of it."""

    instance: str
    epoch: int
    address: str
    #: the link is up, and the machine has heard so
    linked: bool
    availability: Availability
    #: what is to end before a drain is over, for people; empty: no drain, or nothing is in its way
    waits_for: tuple[str, ...]
    #: times in monotonic seconds
    slots: tuple[SlotStatus, ...]
    capabilities: tuple[Capability, ...]
    #: consumed while the agent is free
    queues: frozenset[str]

    @property
    def state(self) -> str:
        """As a status tells it: "ready", "draining", "paused" and so on."""
        return self.availability.state

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it takes no new work, for people."""
        pause = (self.availability.pause,) if self.availability.pause else ()
        return (*pause, *(f"waits for {text}" for text in self.waits_for), *self.availability.unwell)


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What metrics show beside that. Some of it costs a look at the disk, so it is counted when somebody asks."""

    #: publications that wait for a confirm
    unconfirmed: int
    capabilities: int
    sessions: int
    #: of their journals, on disk
    journal_bytes: int
    #: messages that no trusted key had signed
    not_trusted: int
    #: messages in versions of the protocol that it does not know
    other_versions: int
