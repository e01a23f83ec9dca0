"""A session inside its keeper: journals what its commands do, in the words of whoever runs them (`runner.Runner`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker_agent.keeper.journal.writer import Journal, JournalFull
from worker_agent.keeper.limits import UPLOAD_AHEAD
from worker_agent.keeper.runner import Listener, Runner
from worker_agent.keeper.settings import KeeperConfig

#: Reading of pipes goes on when the unstored bytes have fallen below this part of the bound.
_RESUME_AT = 0.75


class Session:
    """An `orders.Executor`, and the `runner.Listener` of its runner.

    `journalled` is called with the last sequence number when there is news, `pulled` with (n, offset, length) when a
    download wants bytes, `broken` with the reason when not even a failure can be journalled any more.
    """

    def __init__(
        self,
        config: KeeperConfig,
        runner: Callable[[Listener], Runner],
        *,
        journalled: Callable[[int], None],
        pulled: Callable[[int, int, int], None],
        broken: Callable[[str], None],
    ) -> None:
        settings = config.settings
        self._settings = settings
        self._journal = Journal(Path(config.folder), spool_max=settings.spool_max, journal_max=settings.journal_max)
        self._journalled = journalled
        self._pulled = pulled
        self._broken = broken
        #: the disk took no more of the journal
        self._full = False
        self._over = False
        self._room = (True, True)
        self._known: set[int] = set()
        #: of those: what the runner has, or what is over
        self._handed_on: set[int] = set()
        self._running: set[int] = set()
        self._reasons: dict[int, str] = {}
        self._condemned: dict[int, str] = {}
        self._runner = runner(self)

    @property
    def seq(self) -> int:
        return self._journal.seq

    @property
    def running(self) -> list[int]:
        return sorted(self._running)

    def attached(self) -> None:
        """A new main process is there."""
        self._runner.attached()

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str) -> None:
        """Start command `n`. One that is known already is not run again."""
        if n in self._known:
            return
        self._known.add(n)
        self._running.add(n)
        if self._full and self._journal.set_reserve():
            self._full = False  # somebody made room
        self._append(n, "started", {"name": name, "digest": digest})
        if self._full:
            self.condemn("disk full: no room for the journal")
        self._runner.run(n, name, args, digest, unwanted=n in self._condemned)
        self._handed_on.add(n)

    def complete_unstarted(self, n: int, name: str, digest: str, reason: str) -> None:
        """The interrupt came first (rule 14): journal that, run nothing."""
        if n in self._known:
            return
        self._known.add(n)
        self._append(n, "started", {"name": name, "digest": digest})
        self._handed_on.add(n)
        self._append(n, "completed", None, interrupted=reason)

    def fail(self, n: int, reason: str) -> None:
        """Command `n` cannot be run, and completes with `reason`. Not for one that runs or is over."""
        if n in self._handed_on:
            return
        if n not in self._known:
            self._known.add(n)
            self._append(n, "started", {"name": "", "digest": ""})
        self._handed_on.add(n)
        self._running.discard(n)
        self._append(n, "completed", reason, infrastructure=reason)

    def interrupt(self, n: int, reason: str) -> None:
        if n in self._running:
            self._reasons.setdefault(n, reason)
            self._runner.interrupt(n)

    def condemn(self, reason: str) -> None:
        """The machine cannot let them run: interrupt all commands, and say why in `infrastructure`."""
        for n in self.running:
            self._condemned.setdefault(n, reason)
            self._runner.interrupt(n)

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        if n in self._running:
            self._runner.feed(n, offset, size, data)

    def trim(self, seq: int) -> None:
        self._journal.trim(seq)
        self._mind_room()

    async def end(self) -> list[str]:
        """Kill every process of the session, those that commands left behind, too; return when none is left.

        Returns what commands that are over had left running.
        """
        try:
            return await self._runner.end()
        finally:
            self._over = True
            self._journal.close()

    async def kill_all(self, reason: str) -> None:
        """Kill every process, go on journalling: running commands complete with `reason` as `infrastructure`."""
        self.condemn(reason)
        await self._runner.kill_all()

    # What its runner tells: runner.Listener

    def append(self, n: int, kind: str, value: Any = None, data: bytes = b"") -> None:
        if n in self._running:
            self._append(n, kind, value, data)

    def completed(self, n: int, failure: str | None, infrastructure: str | None) -> None:
        if n not in self._running:
            return
        self._running.discard(n)
        if infrastructure is None:
            infrastructure = self._condemned.get(n)
        self._append(n, "completed", failure, interrupted=self._reasons.get(n), infrastructure=infrastructure)

    def pull(self, n: int, offset: int, length: int) -> None:
        self._pulled(n, offset, length)

    def broken(self, reason: str) -> None:
        self._broken(reason)

    def _append(
        self,
        n: int,
        kind: str,
        value: Any = None,
        data: bytes = b"",
        *,
        interrupted: str | None = None,
        infrastructure: str | None = None,
    ) -> None:
        """Journal one event and say so. On a full disk only that a command ran, and how it ended, still gets in."""
        if self._over:
            return
        lasting = kind in ("started", "completed")
        if n in self._condemned and self._full and not lasting:
            return
        try:
            seq = self._journal.append(n, kind, value, data, interrupted=interrupted, infrastructure=infrastructure)
        except JournalFull as error:
            self._full = True
            self._journal.free_reserve()
            self.condemn(f"disk full: {error.strerror}")
            if not lasting:
                return
            try:
                seq = self._journal.append(n, kind, value, interrupted=interrupted, infrastructure=infrastructure)
            except JournalFull:
                self._broken(f"disk full: {error.strerror}")
                return
        self._mind_room()
        self._journalled(seq)

    def _mind_room(self) -> None:
        """Producers stop above a bound, and go on well below it."""
        unstored, spool_max = self._journal.unstored, self._settings.spool_max
        uploads_max = min(UPLOAD_AHEAD, spool_max)
        output, uploads = self._room
        room = (
            not self._journal.crowded and (output or unstored <= spool_max * _RESUME_AT),
            unstored <= uploads_max and (uploads or unstored <= uploads_max * _RESUME_AT),
        )
        if room != self._room:
            self._room = room
            self._runner.set_room(*room)
