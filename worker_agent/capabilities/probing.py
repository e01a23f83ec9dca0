"""When this machine is probed: at the start, each so often, and what ran out of time again; never beside a build.

A probe is a process or two for each program that is found, hundreds of them: it must not take the processor from what
runs. So a round waits until the agent has been idle for a moment, and is broken off when work comes.

An agent that starts for the first time takes work at once for what it knows without a probe: what the machine says and
what people said. Its first round begins at once, too, and goes on beside work, with less of the processor: or an agent
that has always something to do would never learn what else it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Callable
from typing import Literal

import structlog

from contracts.operations import memory
from worker_agent.capabilities.abilities import Abilities

log = structlog.get_logger(__name__)

#: Seconds after which probes that ran out of time are run again: at first, and doubled up to.
LATE_FIRST, LATE_MAX = 30.0, 3600.0
#: Seconds without work before a round begins: builds follow one another within a second.
QUIET = 2.0
#: A pause is longer or shorter by up to so much of it, so that agents that started together do not probe together.
JITTER = 0.25

Round = Literal["all", "late"]


class ProbePlan:
    """Which round is due when. Pure: times are monotonic seconds and passed in; `dice` gives 0 to 1."""

    def __init__(self, *, now: float, every: float, known: bool, dice: Callable[[], float] = random.random) -> None:
        """`every`: seconds between two rounds of all probes, 0: none. `known`: by an earlier run; else the first round
        is due at once, whatever the agent does."""
        self._every = every
        self._dice = dice
        self._pause = LATE_FIRST
        self._busy = False
        self._idle_since = now
        self.first = not known
        self._all_at = now
        self._late_at = math.inf

    def worked(self, busy: bool, now: float) -> None:
        """Whether something is claimed or held."""
        if self._busy and not busy:
            self._idle_since = now
        self._busy = busy

    def due(self, now: float) -> Round | None:
        """The round to begin now."""
        if self.first:
            return "all" if now >= self._all_at else None
        if self._busy or now < self._idle_since + QUIET:
            return None
        if now >= self._all_at:
            return "all"
        return "late" if now >= self._late_at else None

    def next(self) -> float:
        """When to ask `due` again, at the latest, if nothing else happens; infinity while there is work."""
        if self.first:
            return self._all_at
        if self._busy:
            return math.inf
        return max(min(self._all_at, self._late_at), self._idle_since + QUIET)

    def ended(self, which: Round, *, late: bool, now: float) -> None:
        """A round is over; `late`: some of its probes ran out of time (again). One that is broken off stays due."""
        if which == "all":
            self.first = False
            self._all_at = now + self._varied(self._every) if self._every else math.inf
            self._pause = LATE_FIRST
        else:
            self._pause = min(2 * self._pause, LATE_MAX)
        self._late_at = now + self._varied(self._pause) if late else math.inf

    def failed(self, which: Round, now: float) -> None:
        """An error of ours, or of the machine (no more processes): tried again later."""
        at, self._pause = now + self._varied(self._pause), min(2 * self._pause, LATE_MAX)
        if which == "all":
            self._all_at = at
        else:
            self._late_at = at

    def _varied(self, pause: float) -> float:
        return pause * (1 + JITTER * (2 * self._dice() - 1))


class Probing:
    """Carries the plan out. `changed` is called in the event loop when capabilities came or went."""

    def __init__(self, abilities: Abilities, *, every: float, changed: Callable[[], None]) -> None:
        self._abilities = abilities
        self._every = every
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._busy = False
        self._round: asyncio.Task[bool] | None = None
        self._plan = ProbePlan(now=self._loop.time(), every=every, known=True)

    @property
    def running(self) -> bool:
        """Probes are processes of this one."""
        return self._lock.locked()

    async def begin(self) -> None:
        """Before anything is consumed: what is known from an earlier run of this agent, or without a probe."""
        async with self._lock:
            known = await self._abilities.remember()
        self._plan = ProbePlan(now=self._loop.time(), every=self._every, known=known)

    def worked(self, busy: bool) -> None:
        """The agent is busy, or idle; called after each input."""
        if busy == self._busy:
            return
        self._busy = busy
        self._plan.worked(busy, self._loop.time())
        self._news.set()
        if busy and self._round is not None and not self._plan.first:
            self._round.cancel()

    async def ask(self) -> None:
        """Somebody wants to know now: all of it, whatever runs."""
        if await self._locked("all"):
            self._changed()
        self._plan.ended("all", late=self._abilities.late, now=self._loop.time())
        self._news.set()

    async def run(self) -> None:
        """Probe when it is time, until cancelled."""
        while True:
            self._news.clear()
            due = self._plan.due(self._loop.time())
            if due is None:
                await self._wait(self._plan.next() - self._loop.time())
                continue
            self._round = self._loop.create_task(self._locked(due))
            try:
                await asyncio.wait([self._round])
                self._over(due, self._round)
            finally:
                self._round.cancel()
                self._round = None

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._news.wait(), None if seconds == math.inf else max(seconds, 0.01))

    def _over(self, which: Round, task: asyncio.Task[bool]) -> None:
        if task.cancelled():
            log.info("probing_postponed", reason="work came")
            return
        error = task.exception()
        if error is not None:
            log.error("probing_failed", exc_info=error, effect="what was found before is kept")
            self._plan.failed(which, self._loop.time())
            return
        memory.give_back()  # a round's outputs and files were a megabyte
        self._plan.ended(which, late=self._abilities.late, now=self._loop.time())
        if task.result():
            self._changed()

    async def _locked(self, which: Round) -> bool:
        async with self._lock:
            return await (self._abilities.probe() if which == "all" else self._abilities.probe_late())
