"""What this agent can do at the moment: detected, and looked at again when it matters."""

from __future__ import annotations

import time

import structlog

from contracts.messages import Capability
from contracts.requirements import Requirements
from worker_agent.capabilities import DetectOptions, Inventory, detect, recheck
from worker_agent.settings import Settings

log = structlog.get_logger(__name__)


class Abilities:
    """The inventory of this machine. Nothing is known before the first `probe`."""

    def __init__(self, settings: Settings) -> None:
        self._options = options_of(settings)
        self._inventory: Inventory | None = None

    def capabilities(self) -> tuple[Capability, ...]:
        return self._inventory.capabilities if self._inventory else ()

    @property
    def late(self) -> bool:
        """Some probes ran out of time: there may be more than was found."""
        return self._inventory is not None and self._inventory.late

    async def probe(self) -> bool:
        """Look at everything again; True when something changed."""
        began = time.monotonic()
        before = self.capabilities()
        self._inventory = await detect(self._options, previous=self._inventory)
        after = self.capabilities()
        log.info(
            "capabilities",
            total=len(after),
            added=_names(set(after) - set(before)) if before else None,
            dropped=_names(set(before) - set(after)) if before else None,
            failed_probes=len(self._inventory.failures),
            seconds=round(time.monotonic() - began, 2),
        )
        return after != before

    async def still_able(self, signature: str) -> bool:
        """Cheaply, before a claim: is what decides about `signature` still there? What went away is dropped."""
        if self._inventory is None:
            return False
        requirements = Requirements.from_signature(signature)
        self._inventory = await recheck(self._inventory, requirements.names)
        return requirements.satisfied_by(self.capabilities())


def _names(capabilities: set[Capability]) -> list[str]:
    return sorted(f"{found.name} {found.version}" if found.version else found.name for found in capabilities)


def options_of(settings: Settings) -> DetectOptions:
    return DetectOptions(
        auto=settings.auto_capabilities,
        fixed=settings.capability,
        without=settings.without,
        folders=settings.capabilities_d,
    )
