"""Keeps one keeper process in waiting, and memory, while builds follow one another; an idle agent has neither."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog

from contracts.operations import memory
from worker_agent.keeper.processes.environment import command_environment
from worker_agent.keeper.spare import Spare

log = structlog.get_logger(__name__)

#: Seconds after a keeper's start at which the next one is made: the first command has the processor to itself until
#: then.
REFILL = 1.0
#: Seconds after a session for which a spare waits for the next one; it takes some 14 MB. A queue of builds leaves a few
#: hundredths of a second between two.
LINGER = 10.0
#: Seconds after a session for which memory that is free is kept for the next one; a transfer in fresh memory is slower.
KEEP = 60.0


class Spares:
    """All methods return at once, but for `end`. Needs a running loop."""

    def __init__(self, run_as: str = "") -> None:
        """`run_as`: the user whom commands run as; empty: the agent's own."""
        self._run_as = run_as
        self._spare: Spare | None = None
        self._ended = False
        self._timers: list[asyncio.TimerHandle] = []
        self._endings: set[asyncio.Future[None]] = set()

    @property
    def pids(self) -> set[int]:
        """A child of this process that is not a stray."""
        return {self._spare.process.pid} if self._spare is not None else set()

    def take(self) -> Spare | None:
        """For a session that begins now; the next one is made soon, and stays at least until a session is over."""
        spare, self._spare = self._spare, None
        self._plan((REFILL, self._make))
        return spare

    def session_over(self) -> None:
        """Another one may come at once."""
        self._plan((0, self._make), (LINGER, self._let_go), (KEEP, memory.give_back))

    async def end(self) -> None:
        """No more."""
        self._plan()
        self._ended = True
        self._let_go()
        if self._endings:
            await asyncio.wait(self._endings)

    def _plan(self, *plans: tuple[float, Callable[[], None]]) -> None:
        """What is to be done after how many seconds, instead of what was planned before."""
        for timer in self._timers:
            timer.cancel()
        if not self._ended:
            self._timers = [asyncio.get_running_loop().call_later(delay, what) for delay, what in plans]

    def _make(self) -> None:
        if self._spare is not None and self._spare.alive:
            return
        try:
            self._spare = Spare(command_environment(os.environ), run_as=self._run_as)
        except OSError as error:  # no room for one more process: the next session will say so, if it still holds
            log.warning("no_spare_keeper", reason=str(error))

    def _let_go(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            ending = asyncio.ensure_future(asyncio.to_thread(spare.end))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
