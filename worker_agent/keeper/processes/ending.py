"""The end of a command's process tree: a polite signal if asked for, then SIGKILL until nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import psutil

from worker_agent.keeper.host import Host
from worker_agent.keeper.processes.belonging import is_orphan_of
from worker_agent.keeper.processes.reaper import ROUND_PAUSE, alive, descendants, kill, marked, of_child, orphan, rounds

#: A process that its interrupt signal did not end within this many seconds is told of as Buildbot's worker does.
BACKUP_TIMEOUT = 5.0
_LOOK = 0.05
#: Of the time from one look to the next no more counts, seconds. A machine that stood still for longer (paused, or
#: waiting for its disk) gave what was asked to go no time either.
_MOST = 1.0


class Ending:
    """Ends what process `pid` started. `mark`: the value of its environment's mark."""

    def __init__(self, host: Host, pid: int, mark: str) -> None:
        self._host = host
        self._pid = pid
        self._mark = mark
        self._process = of_child(pid)
        #: it outlived its interrupt signal and had to be killed
        self.stubborn = False

    async def end(self, sigterm_time: float | None, interrupt_signal: str) -> None:
        """Return when nothing of the tree is left.

        With `sigterm_time` (seconds) all of it gets SIGTERM first and that long to go; if not all goes, or at once, it
        gets `interrupt_signal`. Either wait ends when what was asked is gone; what is left after that is killed.
        """
        gone = False
        if sigterm_time is not None:
            gone = await self._ask(signal.SIGTERM, sigterm_time)
        wanted = getattr(signal, f"SIG{interrupt_signal}", signal.SIGKILL)
        if not gone and wanted != signal.SIGKILL and not await self._ask(wanted, BACKUP_TIMEOUT):
            self.stubborn = self._running()
        if self._running():  # in one go: a shell that sees its child die first would still say how, with its own status
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the rounds say what cannot be killed
                os.killpg(self._pid, signal.SIGKILL)
        for left in rounds(self.members):
            if left:
                await asyncio.sleep(ROUND_PAUSE)
                self._host.children.reap()
        if self._running():
            self.stubborn = True
            self._host.children.give_up(self._pid)

    def members(self) -> list[psutil.Process]:
        """The tree as it is now: what descends from the process, what carries its mark, and what it left to us."""
        found: dict[int, psutil.Process] = {}
        if self._process is not None:
            if self._running():
                found[self._pid] = self._process
            found.update((process.pid, process) for process in descendants(self._process))
        roots = [*marked(self._mark), *(self._adopted() if self._host.alone(self._mark) else ())]
        for root in roots:
            for member in (root, *descendants(root)):
                found.setdefault(member.pid, member)
        return list(found.values())

    def _adopted(self) -> list[psutil.Process]:
        """Orphans that came to the keeper and are younger than the process: no other command runs, so they are its."""
        guard = self._host.children.guard.pid
        found: list[psutil.Process] = []
        if self._process is None:  # nobody knows its age
            return found
        for process in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if is_orphan_of(orphan(process), mark=self._mark, began=self._process.create_time(), guard=guard):
                    found.append(process)
        return found

    def _running(self) -> bool:
        return self._host.children.watched(self._pid)

    async def _ask(self, number: int, seconds: float) -> bool:
        """Send signal `number` to all of the tree. True as soon as those that got it are gone, False after `seconds`.

        What may not be signalled, and what is started after it, is not waited for.
        """
        asked = self._signal(number)
        left, before = seconds, time.monotonic()
        while left > 0:
            await asyncio.sleep(min(_LOOK, seconds))
            if not any(alive(process) for process in asked):
                return True
            now = time.monotonic()
            left -= min(now - before, _MOST)
            before = now
        return False

    def _signal(self, number: int) -> list[psutil.Process]:
        """To the process's group in one go, then to what has left the group. Returns those that got it."""
        members = self.members()
        if not self._running():  # collected: its number, and so its group's, may be another's by now
            return kill(members, number)
        group = [process for process in members if _group(process) == self._pid]
        told = kill(group, 0)  # nobody: asks who may be signalled
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)
        return told + kill((process for process in members if process not in group), number)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None
