"""What the agent tells those who watch: its status to the fleet, metrics and health to whoever scrapes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

import structlog

from contracts.messages import Alive, RollCall, SlotStatus, Status
from contracts.operations.program_version import version
from contracts.timing import STATUS_INTERVAL
from worker_agent.program.settings import Settings
from worker_agent.reporting import systemd
from worker_agent.reporting.columns import ToldFile
from worker_agent.reporting.figures import Figures
from worker_agent.reporting.pace import StatusPace
from worker_agent.reporting.snapshot import Amounts, Snapshot

if TYPE_CHECKING:
    from worker_agent.reporting.metrics import Endpoints

log = structlog.get_logger(__name__)

#: Names of queues in a status; the first in the order of the alphabet.
QUEUES_TOLD = 4000
#: A change of status is told after this many seconds, together with what changes meanwhile.
STATUS_SOON = 0.05
#: … but what becomes of slots after so many seconds, also where nothing was told for long: a short build goes through
#: all states within one, and a status, which tells of all capabilities, costs its readers more than the agent.
SLOTS_AFTER = 1.0
#: Seconds after which a drain says again for what it waits.
SAY_AGAIN = 30.0
#: The event loop turns when it did within this many seconds; the agent notes it every 5 s.
LIVE_WITHIN = 20.0


def busy(slots: Sequence[SlotStatus]) -> bool:
    """Whether any of them claims or holds work."""
    return any(slot.state in ("claiming", "held") for slot in slots)


class Telling:
    """Tells the fleet how the agent is whenever that changes, and regularly. It knows it from snapshots only."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Snapshot],
        publish: Callable[[Status], None],
        found: Callable[[], dict[str, str]],
        key: Callable[[], str | None],
    ) -> None:
        """`found`: capability -> how it was found; `key`: to which others encrypt what only this agent may read."""
        self._settings = settings
        self._snapshot = snapshot
        self._publish = publish
        self._found = found
        self._make_key = key
        #: made and told once somebody has asked: it costs a library, and only who asks can need it
        self._key: str | None = None
        #: of which connection and capabilities it was told how they were found
        self._found_told: tuple[object, ...] = ()
        #: when this process began to work, seconds since the epoch
        self._started = time.time()
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.TimerHandle | None = None
        self._told: tuple[object, ...] = ()
        #: of the program that runs, whatever is installed meanwhile
        self._version = version()
        self._file = ToldFile(settings.state)
        self._pace = StatusPace(Random())  # noqa: S311 - only that agents do not all tell at the same time
        #: for what a drain waits, as it was said last, and when to say it again
        self._awaited: tuple[str, ...] = ()
        self._say_again_at = 0.0
        #: monotonic seconds, when the agent's loop turned last
        self.turned = time.monotonic()

    # -- the fleet -------------------------------------------------------------------------------------------------

    def look(self, snapshot: Snapshot, *, now: bool) -> None:
        """Tell what changed, at once or soon; nothing where nothing did."""
        self._say_waiting(snapshot.waits_for)
        if now:
            self._tell(snapshot, snapshot.state)
        elif (news := _news(snapshot)) != self._told:
            self._tell_by(self._loop.time() + (STATUS_SOON if news[:-1] != self._told[:-1] else SLOTS_AFTER))

    def tell(self, state: str | None = None) -> None:
        """Tell the fleet how this agent is; `state` instead of the one that it is in."""
        snapshot = self._snapshot()
        self._tell(snapshot, state or snapshot.state)

    def asked(self) -> None:
        """Somebody wants to know all."""
        self._found_told = ()
        self._key = self._make_key()
        self.tell()

    def master_speaks(self, message: Alive | RollCall) -> None:
        """To all agents: a master is there, and how often it wants to be told; or it has only just come."""
        if isinstance(message, RollCall):
            self._pace.master_new()
        else:
            self._pace.master_wants(message.status_every, self._loop.time())

    async def run(self) -> None:
        """Tell it regularly, until cancelled."""
        while True:
            await asyncio.sleep(STATUS_INTERVAL)
            snapshot = self._snapshot()
            self._say_waiting(snapshot.waits_for)
            if self._pace.look(self._loop.time()):
                self._tell(snapshot, snapshot.state)
            elif snapshot.linked:
                self._file.again(time.time())

    def _tell_by(self, when: float) -> None:
        if self._soon is not None:
            if self._soon.when() <= when:
                return
            self._soon.cancel()
        self._soon = self._loop.call_at(when, self.tell)

    def _tell(self, snapshot: Snapshot, state: str) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._told = _news(snapshot)
        if snapshot.linked:
            status = self._status(snapshot, state)
            self._publish(status)
            self._found_told = (snapshot.address, snapshot.capabilities)
            self._file.write(status.queues, status.now)

    def _say_waiting(self, waits: tuple[str, ...]) -> None:
        """In a drain: for what it waits, when that changes and each so often."""
        now = self._loop.time()
        if waits and (waits != self._awaited or now >= self._say_again_at):
            log.info("drain_waits", waits_for=waits)
            systemd.notify(STATUS=f"draining, waits for {'; '.join(waits)}")
            self._say_again_at = now + SAY_AGAIN
        self._awaited = waits

    def _status(self, snapshot: Snapshot, state: str) -> Status:
        offset = time.time() - self._loop.time()
        told = (snapshot.address, snapshot.capabilities)
        return Status.model_validate(
            {
                "instance": snapshot.instance,
                "agent": self._settings.name,
                "epoch": snapshot.epoch,
                "address": snapshot.address,
                "version": self._version,
                "now": time.time(),
                "state": state,
                "reasons": snapshot.reasons,
                "slots": [_on_the_wall(slot, offset) for slot in snapshot.slots],
                "capabilities": snapshot.capabilities,
                "queues": tuple(sorted(snapshot.queues)[:QUEUES_TOLD]),
                "started": self._started,
                "key": self._key,
                "direct": True,
                "every": self._pace.every(self._loop.time()),
                "found": self._found() if snapshot.capabilities and self._found_told != told else {},
            }
        )

    # -- metrics and health ----------------------------------------------------------------------------------------

    def serve(self, figures: Figures, amounts: Callable[[], Amounts]) -> Endpoints | None:
        """Metrics and health, where a port was given. Raises OSError when it cannot be had."""
        if self._settings.metrics_port is None:
            return None
        from worker_agent.reporting.metrics import Collector, Endpoints

        def ready() -> bool:
            snapshot = self._snapshot()
            return snapshot.linked and snapshot.state == "ready"

        return Endpoints(
            self._settings.metrics_host,
            self._settings.metrics_port,
            Collector(figures, lambda: _gauges(self._snapshot(), amounts()), lambda: _slots(self._snapshot())),
            live=lambda: time.monotonic() - self.turned < LIVE_WITHIN,
            ready=ready,
        )


def _news(snapshot: Snapshot) -> tuple[object, ...]:
    """What is told soon when it changes; slots, the last of it, less often."""
    return (snapshot.state, snapshot.reasons, snapshot.queues, snapshot.slots)


def _slots(snapshot: Snapshot) -> dict[str, int]:
    states = [slot.state for slot in snapshot.slots]
    return {state: states.count(state) for state in ("idle", "claiming", "held", "aside")}


def _gauges(snapshot: Snapshot, amounts: Amounts) -> dict[str, tuple[str, float]]:
    availability = snapshot.availability
    return {
        "up": ("1 while the link to the broker is up.", float(snapshot.linked)),
        "unconfirmed_publications": ("Publications that wait for a confirm.", amounts.unconfirmed),
        "queues": ("Queues that are consumed when idle.", len(snapshot.queues)),
        "capabilities": ("Capabilities of this machine.", amounts.capabilities),
        "sessions": ("Sessions on this machine.", amounts.sessions),
        "journal_bytes": ("Bytes of their journals on disk.", amounts.journal_bytes),
        "unwell": ("1 while the self-check finds this machine unfit.", float(bool(availability.unwell))),
        "not_trusted": ("Messages that no trusted key had signed.", amounts.not_trusted),
        "other_versions": ("Messages in versions of the protocol that it does not speak.", amounts.other_versions),
        "paused": ("1 while an operator's pause lasts.", float(availability.pause is not None)),
    }


def _on_the_wall(slot: SlotStatus, offset: float) -> SlotStatus:
    """The machine counts in monotonic seconds, the fleet in seconds since the epoch."""
    return slot.model_copy(update={"since": slot.since + offset})
