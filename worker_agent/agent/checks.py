"""Is this machine well, and can it still do what it is asked for? Looked at regularly, and before each claim."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from contracts.topology import queue_signature
from worker_agent.agent.health import PatientHealth
from worker_agent.capabilities.abilities import Abilities
from worker_agent.core.actions import CheckMachine
from worker_agent.core.inputs import MachineChecked

log = structlog.get_logger(__name__)


class Checks:
    """`unwell` is called with what each self-check found: reasons against new work, empty: well. `not_able` is called
    when something that an offer asks for is there no more, before the answer `checked`.
    """

    def __init__(
        self,
        health: PatientHealth,
        abilities: Abilities,
        *,
        unwell: Callable[[tuple[str, ...]], None],
        not_able: Callable[[], None],
        checked: Callable[[MachineChecked], None],
    ) -> None:
        self._health = health
        self._abilities = abilities
        self._unwell = unwell
        self._not_able = not_able
        self._checked = checked
        #: checks before a claim that run now: their processes are no strays
        self.running = 0

    async def health(self) -> tuple[str, ...]:
        """The self-check: reasons against new work; empty: well."""
        return await self._health.check()

    async def tell_health(self) -> None:
        """… and whoever wants to know of it hears it."""
        self._unwell(await self.health())

    async def before_claim(self, asked: CheckMachine) -> None:
        """Answers in any case; what could not be found out is raised, too."""
        able: bool | None = None
        self.running += 1
        try:
            await self.tell_health()
            able = await self._abilities.still_able(queue_signature(asked.queue) or "")
            if not able:
                log.warning("offer_returned_not_qualified", queue=asked.queue, offer=asked.offer)
                self._not_able()  # which takes the queue from those that are consumed: before the offer goes back to it
        finally:
            self.running -= 1
            self._checked(MachineChecked(delivery=asked.delivery, able=able))
