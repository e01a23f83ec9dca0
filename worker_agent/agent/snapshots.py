"""Takes snapshots of the agent's parts, from which its reports are made."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.messages import SlotStatus
from worker_agent.agent.instance import Instance
from worker_agent.agent.introduction import Introduction
from worker_agent.agent.queues import QueueKnowledge
from worker_agent.capabilities.abilities import Abilities
from worker_agent.core.machine import AgentMachine
from worker_agent.keepers.sessions import Sessions
from worker_agent.link.link import Link
from worker_agent.reporting.snapshot import Amounts, Snapshot


class Snapshots:
    """Reads the parts, changes none."""

    def __init__(
        self,
        instance: Instance,
        machine: AgentMachine,
        link: Link,
        queues: QueueKnowledge,
        abilities: Abilities,
        introduction: Introduction,
        sessions: Sessions,
    ) -> None:
        self._instance = instance
        self._machine = machine
        self._link = link
        self._queues = queues
        self._abilities = abilities
        self._introduction = introduction
        self._sessions = sessions

    def take(self, now: float, slots: Sequence[SlotStatus] | None = None) -> Snapshot:
        """`now`: monotonic seconds. `slots`: the machine's, where the caller has them already."""
        availability = self._machine.availability
        return Snapshot(
            instance=self._instance.uuid,
            epoch=self._instance.epoch,
            address=self._link.address,
            linked=self._link.entered,
            availability=availability,
            waits_for=self._machine.waits_for(now) if availability.drains else (),
            slots=tuple(self._machine.slots() if slots is None else slots),
            capabilities=() if self._introduction.reasons() else self._abilities.capabilities(),
            queues=frozenset(self._queues.known),
        )

    def amounts(self) -> Amounts:
        """How much there is of everything, for metrics."""
        return Amounts(
            unconfirmed=self._link.unconfirmed,
            capabilities=len(self._abilities.capabilities()),
            sessions=len(self._sessions),
            journal_bytes=self._sessions.journal_bytes(),
            not_trusted=self._link.options.trust.refused,
            other_versions=self._link.foreign.heard,
        )
