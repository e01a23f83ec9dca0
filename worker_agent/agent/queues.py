"""Which `cap.*` queues this agent consumes: those that exist and whose signature it satisfies.

A question for a queue that is not there is a failed operation: the broker closes the channel and writes it down. So the
agent asks for what a master has told, which is there, since masters declare before they tell. What no master told since
this link is up is asked for a few times an hour (`Misses`): queues that were known before, and, while no master has
spoken, the plain ones of what the agent was told that it can (`cap.any`, `cap.gtk`, `cap.gtk3`). A queue whose column
was removed is consumed as long as it exists: there may be work in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import structlog

from contracts.machines.bounded import Bounded
from contracts.messages import Capability, Catalogue
from contracts.requirements.sets import plain_signatures
from contracts.topology import cap_queue
from worker_agent.agent.told import MASTERS_MAX, ToldSignatures

log = structlog.get_logger(__name__)

#: Questions in vain that an agent has, in so many seconds, for queues of which no master has told it.
MISSES, MISSES_WITHIN = 5, 3600.0
#: Seconds after which what was not there is asked for again, as far as the misses allow.
ASK_AGAIN_AFTER = 600.0
#: Seconds to wait for a catalogue on a new link before the plain queues are tried: masters answer a new agent at once.
PLAIN_AFTER = 0.2
#: Seconds between two questions for queues that a master told and that are not there: at first, and doubled up to.
#: Somebody has deleted them, and the master says so when it has made them anew (`Catalogue.made`).
MISSING_FIRST, MISSING_MAX = 0.25, 1200.0
#: Seconds between two times that what masters told is written down.
WRITTEN_EVERY = 1.0

#: Asks the broker which of some queues exist: an answer for each that was asked; no more are asked after so many that
#: do not exist. None: the link is down.
Existing = Callable[[Iterable[str], "int | None"], Awaitable["Mapping[str, bool] | None"]]


class Misses:
    """How many questions may be asked in vain now: `MISSES` within `MISSES_WITHIN` seconds. Times are monotonic."""

    def __init__(self) -> None:
        self._at: deque[float] = deque()

    def left(self, now: float) -> int:
        """How many queues may be missing still, at `now` (monotonic seconds)."""
        while self._at and now - self._at[0] >= MISSES_WITHIN:
            self._at.popleft()
        return MISSES - len(self._at)

    def count(self, number: int, now: float) -> None:
        """So many queues were not there."""
        self._at.extend([now] * number)

    def next_at(self, now: float) -> float:
        """When there is one left."""
        return now if self.left(now) > 0 else self._at[0] + MISSES_WITHIN

    def forgive(self) -> None:
        """Begin anew."""
        self._at.clear()


class QueueKnowledge:
    """Knows the queues and says so: `changed` is called with the whole set whenever it differs.

    `plain` gives the capabilities whose plain queues are worth a try. Nothing here blocks; questions run in `run`, one
    at a time, and always with what is known by then.
    """

    def __init__(
        self,
        cache: Path,
        *,
        capabilities: Callable[[], tuple[Capability, ...]],
        plain: Callable[[], tuple[Capability, ...]],
        existing: Existing,
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        self._cache = cache
        self._plain_capabilities = plain
        self._existing = existing
        self._changed = changed
        #: what each master's catalogue says, or said when this agent last ran
        self._by_masters = ToldSignatures(capabilities)
        self._written_at, self._write_at = -math.inf, math.inf
        #: what the masters' catalogues said since this link is up: a different one is news
        self._heard: Bounded[str, tuple[object, ...]] = Bounded(MASTERS_MAX)
        #: masters that spoke otherwise since this link is up, with their incarnations
        self._spoke: Bounded[tuple[str, str], None] = Bounded(MASTERS_MAX)
        self._known: frozenset[str] = frozenset()
        self._exist: frozenset[str] = frozenset()
        #: consumed on the link before
        self._before: frozenset[str] = frozenset()
        self._wake = asyncio.Event()
        #: queues that were told, to be asked for now
        self._due: set[str] = set()
        #: queues of which nobody told, in the order in which they are asked for, and from when on
        self._unannounced: list[str] = []
        self._unannounced_at = math.inf
        self._misses = Misses()
        self._missing_pause = MISSING_FIRST
        self._missing_at = math.inf
        #: queues that were not there -> the round in which they were asked for last
        self._asked: dict[str, int] = {}
        self._round = 0
        self._by_masters.read(cache)

    @property
    def known(self) -> frozenset[str]:
        """The queues last told."""
        return self._known

    # -- what happens ----------------------------------------------------------------------------------------------

    def link_up(self) -> None:
        """A new link: queues may have come and gone."""
        self._heard, self._spoke = Bounded(MASTERS_MAX), Bounded(MASTERS_MAX)
        self._due.clear()
        self._unannounced = self._worth_asking()
        self._unannounced_at = self._now() + (0.0 if self._before else PLAIN_AFTER)
        self._wake.set()

    def link_down(self) -> None:
        """Nothing is known to exist any more."""
        self._before = self._before | self._exist
        self._exist = frozenset()
        self._missing_at = math.inf
        self._tell()

    def catalogue(self, message: Catalogue) -> None:
        """A master tells for which signatures it has columns."""
        news = (message.incarnation, message.made, _digest(message.signatures))
        if self._heard.get(message.master) == news and message.master in self._by_masters:
            return
        self._heard.put(message.master, news)
        if self._by_masters.tell(message.master, message.signatures, self._exist):
            self._write_at = min(self._write_at, max(self._now(), self._written_at + WRITTEN_EVERY))
            self._write_what_is_due()
            log.info("catalogue_received", master=message.master, signatures=len(message.signatures))
        self._due |= self._by_masters.of_masters([message.master]) | self._by_masters.former()
        self._missing_pause = MISSING_FIRST
        self._wake.set()

    def master_speaks(self, master: str, incarnation: str) -> None:
        """It lives; its catalogue comes within seconds. One that has none may still have a plain queue."""
        if master in self._heard or (master, incarnation) in self._spoke:
            return
        self._spoke.put((master, incarnation), None)
        self._misses.forgive()
        self._unannounced = self._worth_asking()
        self._unannounced_at = self._now() + PLAIN_AFTER
        self._wake.set()

    def capabilities_changed(self) -> None:
        """Other queues may be this agent's now; which are there is asked later."""
        self._tell()  # at once: what the agent cannot do any more must not be consumed while the broker is asked
        self._due |= self._told() - self._exist
        self._unannounced = self._worth_asking()
        self._unannounced_at = min(self._unannounced_at, self._now())
        self._wake.set()

    def gone(self, queue: str) -> None:
        """The broker says that this queue does not exist."""
        self._missing_pause = MISSING_FIRST
        self._note({queue: False})
        self._wake.set()

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask the broker when there is something to ask, until cancelled."""
        try:
            while True:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._patience())
                self._wake.clear()
                self._write_what_is_due()
                await self._ask_told()
                await self._ask_missing()
                await self._ask_unannounced()
        finally:
            if self._write_at < math.inf:
                self._write()

    def _patience(self) -> float | None:
        """Seconds until there is something to do though nothing happened."""
        due = min(self._unannounced_at, self._missing_at, self._write_at)
        return None if due == math.inf else max(0.0, due - self._now())

    async def _ask_told(self) -> None:
        """What a master has just told is there: ask for all of it."""
        due, self._due = self._due & (self._told() | self._by_masters.former()), set()
        await self._ask(due - self._exist, None)

    async def _ask_missing(self) -> None:
        """What a master told and is not there: seldom, and not for all of it."""
        if self._now() < self._missing_at:
            return
        self._missing_at = math.inf
        self._missing_pause = min(2 * self._missing_pause, MISSING_MAX)
        missing = self._told() - self._exist
        await self._ask(sorted(missing, key=lambda queue: self._asked.get(queue, 0)), MISSES)

    async def _ask_unannounced(self) -> None:
        """What nobody told since this link is up, as long as the misses last."""
        if self._now() < self._unannounced_at:
            return
        told = self._told()
        unannounced = [queue for queue in self._unannounced if queue not in told and queue not in self._exist]
        if self._heard:  # who has told its queues has told all of them
            unannounced = [queue for queue in unannounced if queue not in self._plain()]
        answers = await self._ask(unannounced, self._misses.left(self._now())) if self._misses.left(self._now()) else {}
        if answers is None:
            self._unannounced_at = math.inf  # `link_up` will come
            return
        now = self._now()
        self._misses.count(sum(not there for there in answers.values()), now)
        self._unannounced = [queue for queue in unannounced if queue not in answers]
        if self._unannounced:
            self._unannounced_at = self._misses.next_at(now)
        else:
            self._unannounced = self._worth_asking()
            self._unannounced_at = (
                max(now + ASK_AGAIN_AFTER, self._misses.next_at(now)) if self._unannounced else math.inf
            )

    async def _ask(self, queues: Iterable[str], misses: int | None) -> Mapping[str, bool] | None:
        """Learn which of `queues` exist; None while the link is down."""
        asked = list(queues)
        if not asked:
            return {}
        answers = await self._existing(asked, misses)
        if answers is not None:
            self._note(answers)
        return answers

    def _note(self, answers: Mapping[str, bool]) -> None:
        there = frozenset(queue for queue, exists in answers.items() if exists)
        self._exist = self._exist - answers.keys() | there
        self._before -= answers.keys()
        missing = answers.keys() - there
        self._round += 1
        self._by_masters.missing(missing)
        self._asked.update(dict.fromkeys(missing, self._round))
        told = self._told()
        self._asked = {name: asked for name, asked in self._asked.items() if name not in there and name in told}
        self._tell()
        self._missing_at = self._now() + self._missing_pause if told - self._exist else math.inf

    def _tell(self) -> None:
        able = self._exist & (self._candidates() | self._plain())
        if able != self._known:
            log.info(
                "queues_changed", added=sorted(able - self._known), dropped=sorted(self._known - able), total=len(able)
            )
            self._known = able
            self._changed(able)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # -- which -----------------------------------------------------------------------------------------------------

    def _worth_asking(self) -> list[str]:
        """Queues to ask for though nobody told: those consumed before, those of known masters, the plain ones."""
        candidates = self._candidates()
        plain = sorted(self._plain() - candidates, key=lambda queue: (queue != cap_queue("any"), _depth(queue), queue))
        names = [*sorted(self._before & candidates), *sorted(candidates), *sorted(self._before), *plain]
        return [queue for queue in dict.fromkeys(names) if queue not in self._exist]

    def _told(self) -> frozenset[str]:
        """Queues of masters that told their signatures since this link is up, and that this agent satisfies."""
        return self._by_masters.of_masters(self._heard)

    def _candidates(self) -> frozenset[str]:
        """Queues of signatures that some master has or had, and that this agent satisfies."""
        return self._by_masters.all()

    def _plain(self) -> frozenset[str]:
        return frozenset(cap_queue(signature) for signature in plain_signatures(self._plain_capabilities()))

    # -- for the next time that the agent runs ----------------------------------------------------------------------

    def _write_what_is_due(self) -> None:
        if self._write_at <= self._now():
            self._write()

    def _write(self) -> None:
        self._write_at, self._written_at = math.inf, self._now()
        self._by_masters.write(self._cache)


def _depth(queue: str) -> int:
    """How special a plain queue is: 0 for `cap.python`, 1 for `cap.python3`, 2 for `cap.python3.11`."""
    series = queue[len(queue.rstrip("0123456789.")) :]
    return series.count(".") + 1 if series else 0


def _digest(signatures: Iterable[str]) -> bytes:
    """The same for the same signatures, in whatever order. Not they themselves: a catalogue may have megabytes."""
    return hashlib.sha256(json.dumps(sorted(set(signatures))).encode()).digest()
