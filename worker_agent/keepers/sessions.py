"""Sessions on this machine: their folders, keepers and build directories.

Each session's orders are carried out one after the other by a task of its own, so that a keeper that takes its time
does not keep another session waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from worker_agent.agent.aside import aside
from worker_agent.core.actions import OpenSession
from worker_agent.core.inputs import Input, KeeperLost, Recovered, SessionMeta
from worker_agent.core.session import folder_of
from worker_agent.keeper import orders
from worker_agent.keeper.giving_back import Program
from worker_agent.keeper.settings import KeeperSettings
from worker_agent.keepers import metas
from worker_agent.keepers.builddirs import BuildDirs
from worker_agent.keepers.client import Keeper, KeeperFailed, kill_leftovers
from worker_agent.keepers.journal_reader import JournalFiles
from worker_agent.keepers.link_copies import LinkCopies
from worker_agent.keepers.starting import Starter

log = structlog.get_logger(__name__)

#: What is to be done with a session's keeper.
Order = Callable[[Keeper], None]


class Held:
    """A session that has, had or will have a keeper, and its orders."""

    def __init__(self, meta: SessionMeta) -> None:
        self.meta = meta
        #: what its file says; None: nothing that is known
        self.written: SessionMeta | None = None
        self.keeper: Keeper | None = None
        #: the last order; the next one waits for it
        self.last: asyncio.Task[None] | None = None
        self.in_builddir = False


class Sessions:
    """Carries out what the machine wants of sessions. All its methods return at once."""

    def __init__(
        self,
        state: Path,
        builddirs: BuildDirs,
        journal: JournalFiles,
        *,
        on_input: Callable[[Input], None],
        encoding: str = "utf-8",
        run_as: str = "",
        keeper_ready: Callable[[str], None] = lambda _session: None,
        give_back: Program | None = None,
        slots: int = 1,
    ) -> None:
        """`run_as`: the user whom commands run as; empty: the agent's own. `keeper_ready` is told of a session whose
        keeper can run commands. `give_back`: what keepers start where this process is killed. `slots`: so many sessions
        have a keeper ready for them."""
        self.folder = str(state / "sessions")
        self._builddirs = builddirs
        self._journal = journal
        self._on_input = on_input
        self._encoding = encoding
        self._held: dict[str, Held] = {}
        self._run_as = run_as
        self._starter = Starter(run_as, room=lambda: slots - len(self._held))
        self._keeper_ready = keeper_ready
        self._copies = LinkCopies()
        self._give_back = None if give_back is None else orders.give_back(give_back)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def keeper_pids(self) -> set[int]:
        """Children of this process that are not strays."""
        keepers = {held.keeper.pid for held in self._held.values() if held.keeper is not None}
        return keepers | self._starter.pids

    def folder_of(self, session: str) -> str:
        """Of that session. Paths are texts here: a `Path` has Python intern its names, each of which is a new one."""
        return os.path.join(self.folder, session)

    def expect(self) -> None:
        """A session may come soon: what keepers are forked from is made ready."""
        self._starter.warm_up()

    def journal_bytes(self) -> int:
        """What the journals of all sessions take on disk."""
        sizes = 0
        with contextlib.suppress(OSError):  # the disk fails: the self-check says so
            for path in glob.iglob(os.path.join(glob.escape(self.folder), "*", "events.*")):
                with contextlib.suppress(FileNotFoundError):  # its session ended just now
                    sizes += os.stat(path).st_size
        return sizes

    async def recover(self) -> list[Recovered]:
        """What an earlier process of this agent left: sessions whose keeper answers, and such whose does not."""
        recovered: list[Recovered] = []
        for folder, meta in metas.find(self.folder):
            if meta is None:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                continue
            held = self._held[meta.session] = Held(meta)
            recovered.append(await self._recover(held, folder))
        return recovered

    async def _recover(self, held: Held, folder: str) -> Recovered:
        meta = held.meta
        held.keeper = await Keeper.attach(session=meta.session, folder=folder, on_input=self._on_input)
        if not meta.aside:
            try:
                await self._take_builddir(held)
            except OSError as error:  # it is protected from removal all the same; its commands will say what they lack
                log.warning("build_directory_missing", session=meta.session, reason=str(error))
        if held.keeper is not None:
            self._journal.trust(meta.session)
            self._leave_word(held.keeper)
        last = 0
        try:
            last = self._journal.last_seq(meta.session)
        except OSError as error:
            log.error("journal_unreadable", session=meta.session, reason=str(error))
        log.info("session_found", session=meta.session, title=meta.offer.title, alive=held.keeper is not None)
        return Recovered(meta=meta, alive=held.keeper is not None, last_seq=last)

    def _leave_word(self, keeper: Keeper) -> None:
        if self._give_back is not None:
            keeper.give_back(self._give_back)

    def persist(self, meta: SessionMeta) -> None:
        """Written when this returns. Raises OSError."""
        held = self._held.get(meta.session)
        if held is None:
            held = self._held[meta.session] = Held(meta)
        elif held.written == meta:
            return
        held.meta, held.written = meta, None
        metas.persist(self.folder_of(meta.session), meta)
        held.written = meta

    def open(self, action: OpenSession) -> None:
        """Start its keeper; an input says how that went."""
        held = self._held[action.session]

        async def start() -> None:
            try:
                await self._take_builddir(held)
                held.keeper = await Keeper.open(
                    session=action.session,
                    folder=self.folder_of(action.session),
                    basedir=self._builddirs.slot_folder(action.master, action.slot),
                    builddir=action.builddir,
                    on_input=self._on_input,
                    settings=KeeperSettings(
                        fencing=held.meta.offer.fencing, encoding=self._encoding, run_as=self._run_as
                    ),
                    starter=self._starter,
                )
                await self._hold(held)
                self._journal.trust(action.session)
                self._leave_word(held.keeper)
                self._keeper_ready(action.session)
            except Exception as error:
                expected = isinstance(error, (OSError, KeeperFailed))
                log.error("keeper_not_started", session=action.session, reason=str(error),
                          exc_info=None if expected else error)  # fmt: skip
                self._on_input(KeeperLost(session=action.session, reason=str(error)))

        self._enqueue(held, start)

    def order(self, session: str, order: Order) -> None:
        """Have it carried out by the session's keeper, after its earlier orders; nothing if that is gone."""
        held = self._held.get(session)
        if held is None:
            return

        async def carry_out() -> None:
            if held.keeper is not None:
                order(held.keeper)

        self._enqueue(held, carry_out)

    def close(self, session: str, *, keep_journal: bool) -> asyncio.Task[None] | None:
        """End the session's processes, and remove its folder unless the journal is kept. Done when the task is."""
        held = self._held.get(session)
        if held is None:
            return None

        async def end() -> None:
            folder = self.folder_of(session)
            try:
                if held.keeper is not None:
                    await held.keeper.close(keep_journal=True, again=self._starter.takes_back)
                    if held.keeper.left is not None:
                        self._starter.take_back(held.keeper.left)
                    if held.keeper.ended:
                        log.info("leftover_processes_killed", session=session, title=held.meta.offer.title,
                                 processes=held.keeper.ended)  # fmt: skip
                else:
                    await asyncio.to_thread(kill_leftovers, session, folder)
            finally:
                held.keeper = None
                self._leave_builddir(held)
                if not keep_journal:
                    self._held.pop(session, None)
                    self._journal.forget(session)
                    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                self._starter.session_over()

        return self._enqueue(held, end)

    # -- the link ----------------------------------------------------------------------------------------------------

    async def hold_link(self, descriptor: int) -> Callable[[], None] | None:
        """All keepers hold a copy of this connection from now on, also those to come, until what is returned is called.

        None: one of them has not taken it.
        """
        try:
            name = self._copies.begin(descriptor)
        except OSError:
            return None
        keepers = [held for held in self._held.values() if held.keeper is not None]
        taken = await asyncio.gather(*(self._copies.give(self.folder_of(held.meta.session)) for held in keepers))
        if all(taken) and name == self._copies.name:
            return partial(self._let_go, name)
        self._let_go(name)
        return None

    def _let_go(self, name: str) -> None:
        if self._copies.end(name):
            for held in self._held.values():
                if held.keeper is not None:
                    held.keeper.let_go(name)

    async def _hold(self, held: Held) -> None:
        """A new keeper has what all others have before the master can hear of its session. Raises `KeeperFailed`."""
        while name := self._copies.name:
            if await self._copies.give(self.folder_of(held.meta.session)):
                return
            if name == self._copies.name:
                raise KeeperFailed(f"session {held.meta.session}: its keeper takes no copy of the link")

    async def detach(self) -> None:
        """Leave all keepers running, for the process that takes over."""
        for held in list(self._held.values()):
            if held.last is not None:
                await asyncio.wait([held.last])
            if held.keeper is not None:
                held.keeper.detach()
        await self._starter.end()

    async def idle(self) -> None:
        """Until all orders given so far are carried out; no session is opened afterwards."""
        tasks = [held.last for held in self._held.values() if held.last is not None]
        if tasks:
            await asyncio.wait(tasks)
        await self._starter.end()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _enqueue(self, held: Held, what: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        before = held.last

        async def after() -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                await what()
            except Exception as error:
                log.error("session_order_failed", session=held.meta.session, exc_info=error)

        held.last = asyncio.get_running_loop().create_task(after())
        return held.last

    async def _take_builddir(self, held: Held) -> None:
        offer = held.meta.offer
        held.in_builddir = True
        take = partial(self._builddirs.take, folder_of(offer), held.meta.slot, offer.builddir)
        await aside(take) if self._builddirs.apart else take()

    def _leave_builddir(self, held: Held) -> None:
        if held.in_builddir:
            held.in_builddir = False
            offer = held.meta.offer
            self._builddirs.give_back(folder_of(offer), held.meta.slot, offer.builddir)
