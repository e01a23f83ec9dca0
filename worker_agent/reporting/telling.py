"""What the agent tells those who watch: its status to the fleet, metrics and health to whoever scrapes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from contracts.messages import SlotStatus, Status
from contracts.timing import STATUS_INTERVAL
from worker_agent.agent.instance import Instance
from worker_agent.agent.introduction import QUEUES_TOLD
from worker_agent.program.settings import Settings
from worker_agent.reporting import systemd
from worker_agent.reporting.columns import ToldFile
from worker_agent.version import version

if TYPE_CHECKING:
    from worker_agent.agent.loop import Agent
    from worker_agent.reporting.metrics import Endpoints

log = structlog.get_logger(__name__)

#: A change of status is told after this many seconds, together with what changes meanwhile.
STATUS_SOON = 0.05
#: Seconds after which a drain says again for what it waits.
SAY_AGAIN = 30.0
#: The event loop turns when it did within this many seconds; the agent notes it every 5 s.
LIVE_WITHIN = 20.0


def busy(slots: Sequence[SlotStatus]) -> bool:
    """Whether any of them claims or holds work."""
    return any(slot.state in ("claiming", "held") for slot in slots)


class Telling:
    """Reads the agent's parts and changes none. Made when the agent has its machine."""

    def __init__(self, agent: Agent, settings: Settings, instance: Instance) -> None:
        self._agent = agent
        self._settings = settings
        self._instance = instance
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
        self._told: tuple[object, ...] = ()
        self._file = ToldFile(settings.state)
        #: for what a drain waits, as it was said last, and when to say it again
        self._awaited: tuple[str, ...] = ()
        self._say_again_at = 0.0
        #: monotonic seconds, when the agent's loop turned last
        self.turned = time.monotonic()

    # -- the fleet -------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return self._agent.machine.availability.state

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it takes no new work, for people."""
        availability = self._agent.machine.availability
        waits = tuple(f"waits for {text}" for text in self._waits_for())
        return (*((availability.pause,) if availability.pause else ()), *waits, *availability.unwell)

    def _waits_for(self) -> tuple[str, ...]:
        """What is to end before the drain is over."""
        machine = self._agent.machine
        return machine.waits_for(self._loop.time()) if machine.availability.drains else ()

    def _say_waiting(self) -> None:
        """In a drain: for what it waits, when that changes and each so often."""
        waits, now = self._waits_for(), self._loop.time()
        if waits and (waits != self._awaited or now >= self._say_again_at):
            log.info("drain_waits", waits_for=waits)
            systemd.notify(STATUS=f"draining, waits for {'; '.join(waits)}")
            self._say_again_at = now + SAY_AGAIN
        self._awaited = waits

    def look(self, slots: Sequence[SlotStatus], *, now: bool) -> None:
        """Tell what changed, at once or soon; nothing where nothing did. `slots` are the machine's."""
        self._say_waiting()
        if now:
            self.tell()
        elif self._news(slots) != self._told and self._soon is None:
            self._soon = self._loop.call_later(STATUS_SOON, self.tell)

    def tell(self, state: str | None = None) -> None:
        """Tell the fleet how this agent is."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._told = self._news(self._agent.machine.slots())
        if self._agent.link.entered:
            status = self.status(state or self.state)
            self._agent.link.publish_status(status)
            self._file.write(status.queues, status.now)

    async def run(self) -> None:
        """Tell it regularly, until cancelled."""
        while True:
            await asyncio.sleep(STATUS_INTERVAL)
            self._say_waiting()
            self.tell()

    def status(self, state: str) -> Status:
        agent = self._agent
        offset = time.time() - self._loop.time()
        return Status.model_validate(
            {
                "instance": self._instance.uuid,
                "agent": self._settings.name,
                "epoch": self._instance.epoch,
                "address": agent.link.address,
                "version": version(),
                "now": time.time(),
                "state": state,
                "reasons": self.reasons,
                "slots": [_on_the_wall(slot, offset) for slot in agent.machine.slots()],
                "capabilities": () if agent.introduction.reasons() else agent.abilities.capabilities(),
                "queues": tuple(sorted(agent.queues.known)[:QUEUES_TOLD]),
            }
        )

    def _news(self, slots: Sequence[SlotStatus]) -> tuple[object, ...]:
        return (self.state, self.reasons, slots, self._agent.queues.known)

    # -- metrics and health ----------------------------------------------------------------------------------------

    def serve(self) -> Endpoints | None:
        """Metrics and health, where a port was given. Raises OSError when it cannot be had."""
        if self._settings.metrics_port is None:
            return None
        from worker_agent.reporting.metrics import Collector, Endpoints

        return Endpoints(
            self._settings.metrics_host,
            self._settings.metrics_port,
            Collector(self._agent.figures, self._gauges, self._slots),
            live=lambda: time.monotonic() - self.turned < LIVE_WITHIN,
            ready=lambda: self._agent.link.entered and self.state == "ready",
        )

    def _slots(self) -> dict[str, int]:
        states = [slot.state for slot in self._agent.machine.slots()]
        return {state: states.count(state) for state in ("idle", "claiming", "held", "aside")}

    def _gauges(self) -> dict[str, tuple[str, float]]:
        agent = self._agent
        availability = agent.machine.availability
        return {
            "up": ("1 while the link to the broker is up.", float(agent.link.entered)),
            "unconfirmed_publications": ("Publications that wait for a confirm.", agent.link.unconfirmed),
            "queues": ("Queues that are consumed when idle.", len(agent.queues.known)),
            "capabilities": ("Capabilities of this machine.", len(agent.abilities.capabilities())),
            "sessions": ("Sessions on this machine.", len(agent.sessions)),
            "journal_bytes": ("Bytes of their journals on disk.", agent.sessions.journal_bytes()),
            "unwell": ("1 while the self-check finds this machine unfit.", float(bool(availability.unwell))),
            "not_trusted": ("Messages that no trusted key had signed.", agent.link.options.trust.refused),
            "other_versions": (
                "Messages in versions of the protocol that it does not speak.",
                agent.link.foreign.heard,
            ),
            "paused": ("1 while an operator's pause lasts.", float(availability.pause is not None)),
        }


def _on_the_wall(slot: SlotStatus, offset: float) -> SlotStatus:
    """The machine counts in monotonic seconds, the fleet in seconds since the epoch."""
    return slot.model_copy(update={"since": slot.since + offset})
