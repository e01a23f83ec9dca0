"""Which `cap.*` queues this agent consumes: those that exist and whose signature it satisfies.

Signatures come from the masters' catalogues, from what was known when the agent last ran, and, while no master has
spoken, from the agent's own capabilities (the plain ones: `cap.gtk`, `cap.python3`). Whether the queue exists is asked
of the broker. A queue whose column was removed is consumed as long as it exists: there may be work in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import structlog

from contracts.errors import BadRequirement
from contracts.messages import Capability, Catalogue
from contracts.requirements import Requirements, plain_signatures
from contracts.topology import cap_queue
from worker_agent.instance import write_atomically

log = structlog.get_logger(__name__)

#: Seconds between two rounds of asking for plain queues while no master has spoken. Each miss is a closed channel and
#: a line in the broker's log, so seldom; a master that comes back tells by itself.
PLAIN_PROBE_EVERY = 60.0
#: Seconds to wait for a catalogue on a new link before the first round: masters answer a new agent at once.
PLAIN_PROBE_AFTER = 0.2
#: Queues asked for between two looks at whether a catalogue came.
PLAIN_AT_ONCE = 16
#: Seconds between two questions for queues that should exist and do not: at first, and doubled up to. A master
#: declares before it tells, but another one may be about to delete that very queue as no column's.
MISSING_PROBE_FIRST, MISSING_PROBE_MAX = 0.25, 10.0

Existing = Callable[[Iterable[str]], Awaitable["frozenset[str] | None"]]


class QueueKnowledge:
    """Knows the queues and says so: `changed` is called with the whole set whenever it differs.

    `existing` asks the broker which of some queues exist; None: the link is down. Nothing here blocks; questions run in
    `run`, one at a time, and always with what is known by then.
    """

    def __init__(
        self,
        cache: Path,
        *,
        capabilities: Callable[[], tuple[Capability, ...]],
        existing: Existing,
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        self._cache = cache
        self._capabilities = capabilities
        self._existing = existing
        self._changed = changed
        #: by master, as its catalogue says
        self._signatures: dict[str, frozenset[str]] = {}
        #: signatures of earlier catalogues whose queues may still hold work
        self._former: set[str] = set()
        #: masters whose catalogue came since this link is up
        self._heard: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self._exist: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        self._ask_all = True
        self._plain_at = math.inf
        self._missing_pause = MISSING_PROBE_FIRST
        self._read_cache()

    @property
    def known(self) -> frozenset[str]:
        """The queues last told."""
        return self._known

    # -- what happens ----------------------------------------------------------------------------------------------

    def link_up(self) -> None:
        """A new link: queues may have come and gone."""
        self._heard.clear()
        self._ask_all = True
        self._plain_at = asyncio.get_running_loop().time() + PLAIN_PROBE_AFTER
        self._wake.set()

    def catalogue(self, message: Catalogue) -> None:
        signatures = frozenset(message.signatures)
        self._heard.add(message.master)
        before = self._signatures.get(message.master)
        if before != signatures:
            self._former |= (before or frozenset()) - signatures
            self._signatures[message.master] = signatures
            self._write_cache()
            self._missing_pause = MISSING_PROBE_FIRST
            log.info("catalogue", master=message.master, signatures=len(signatures))
            self._wake.set()

    def capabilities_changed(self) -> None:
        self._tell()  # at once: what the agent cannot do any more must not be consumed while the broker is asked
        self._plain_at = min(self._plain_at, asyncio.get_running_loop().time())  # new names, for which none was asked
        self._wake.set()

    def gone(self, queue: str) -> None:
        """The broker says that this queue does not exist."""
        self._exist -= {queue}
        self._missing_pause = MISSING_PROBE_FIRST
        self._tell()
        self._wake.set()

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask the broker when there is something to ask, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._patience())
            self._wake.clear()
            candidates = self._candidates()
            if await self._ask(candidates if self._ask_all else candidates - self._exist):
                self._ask_all = False
            if not self._heard and loop.time() >= self._plain_at:
                await self._ask_plain()
                self._plain_at = loop.time() + PLAIN_PROBE_EVERY

    def _patience(self) -> float | None:
        """Seconds until there is something to ask though nothing happened."""
        if not self._heard:
            return max(0.0, self._plain_at - asyncio.get_running_loop().time())
        if not self._candidates() - self._exist:
            return None
        pause, self._missing_pause = self._missing_pause, min(2 * self._missing_pause, MISSING_PROBE_MAX)
        return pause

    async def _ask_plain(self) -> None:
        left = sorted(self._plain() - self._candidates())
        while left and not self._wake.is_set():  # a catalogue that comes meanwhile is worth more
            if not await self._ask(left[:PLAIN_AT_ONCE]):
                return
            del left[:PLAIN_AT_ONCE]

    async def _ask(self, queues: Iterable[str]) -> bool:
        """Learn which of `queues` exist; False while the link is down (`link_up` will come)."""
        asked = frozenset(queues)
        if not asked:
            return True
        found = await self._existing(asked)
        if found is None:
            return False
        self._exist = self._exist - asked | found
        self._former = {signature for signature in self._former if cap_queue(signature) in self._exist}
        self._tell()
        return True

    def _tell(self) -> None:
        able = self._exist & (self._candidates() | self._plain())
        if able != self._known:
            log.info("queues", added=sorted(able - self._known), dropped=sorted(self._known - able), total=len(able))
            self._known = able
            self._changed(able)

    # -- which -----------------------------------------------------------------------------------------------------

    def _candidates(self) -> frozenset[str]:
        """Queues of signatures that some master has or had, and that this agent satisfies."""
        capabilities = self._capabilities()
        signatures = self._former.union(*self._signatures.values())
        return frozenset(cap_queue(signature) for signature in signatures if _satisfied(signature, capabilities))

    def _plain(self) -> frozenset[str]:
        return frozenset(cap_queue(signature) for signature in plain_signatures(self._capabilities()))

    # -- what was known when the agent last ran --------------------------------------------------------------------

    def _read_cache(self) -> None:
        try:
            fields = json.loads(self._cache.read_text(encoding="utf-8"))
            self._signatures = {str(master): frozenset(map(str, names)) for master, names in fields.items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.warning(
                "catalogue_cache_unreadable", path=str(self._cache), reason=str(error), remedy="it is made anew"
            )

    def _write_cache(self) -> None:
        fields = {master: sorted(names) for master, names in sorted(self._signatures.items())}
        try:
            write_atomically(self._cache, json.dumps(fields, indent=1) + "\n")
        except OSError as error:
            log.warning("catalogue_cache_not_written", path=str(self._cache), reason=str(error))


def _satisfied(signature: str, capabilities: tuple[Capability, ...]) -> bool:
    try:
        return Requirements.from_signature(signature).satisfied_by(capabilities)
    except BadRequirement as error:
        log.warning("signature_unreadable", signature=signature, reason=str(error), remedy="upgrade this agent")
        return False
