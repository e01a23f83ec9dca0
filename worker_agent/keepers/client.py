"""The main process's end of a keeper: starts it or finds it again, tells it what to do, hears what happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any, Union

import psutil

from contracts.messages import Command
from contracts.operations.socket_path import short_path
from worker_agent.core.inputs import Journalled, KeeperLost, PullWanted
from worker_agent.keeper import orders
from worker_agent.keeper.files import read_file
from worker_agent.keeper.processes.reaper import (
    KILL_PATIENCE,
    alive,
    identity,
    kill_session,
    kill_tree,
    kill_until_none,
)
from worker_agent.keeper.sending import MessageStream, Outgoing
from worker_agent.keeper.settings import KeeperConfig, KeeperSettings
from worker_agent.keeper.wire import APART_FILE, LOG, PID_FILE, SOCKET, WIRE_VERSION, BadFrame
from worker_agent.keepers.starting import Starter, Waiting

#: A keeper that has not said hello after this long (seconds; it takes 0.1) will not.
_HELLO = 30.0
#: A keeper kills what does not go for 10 s; one that has not ended after this is killed itself.
_CLOSE = 20.0
#: A fork server, or a keeper in waiting, may be killed just when it is asked; a second one is not.
_ATTEMPTS = 2
#: Seconds between two looks whether a keeper that leaves is gone.
_LOOK = 0.005

KeeperInput = Union[Journalled, KeeperLost, PullWanted]


def order_of(command: Command) -> orders.Said:
    """The order to run it."""
    return orders.run(command.n, command.name, command.args, command.digest)


def news_of(session: str, message: Mapping[str, Any]) -> Journalled | PullWanted | None:
    """What the machine is told of a keeper's message; None: nothing. Raises `BadOrder`."""
    event = message.get("ev")
    if event == "journalled":
        return Journalled(session=session, seq=orders.number(message, "seq"))
    if event == "pull":
        n, offset, length = (orders.number(message, name) for name in ("n", "offset", "length"))
        return PullWanted(session=session, n=n, offset=offset, length=length)
    return None


class KeeperFailed(Exception):
    """A keeper could not be started; the text says of which session and why."""


class Keeper:
    """One session's keeper. `on_input` gets `Journalled`, `PullWanted` and at most one `KeeperLost`, in the event loop.

    None of the methods that are not coroutines waits: what they ask is sent in order, and answered by inputs.
    """

    def __init__(self, session: str, folder: str, on_input: Callable[[KeeperInput], None]) -> None:
        self.session = session
        self.folder = folder
        #: numbers of the commands that were running when we attached
        self.running: tuple[int, ...] = ()
        #: the last event that was journalled, as far as we know
        self.seq = 0
        self.pid = 0
        #: after `close`: what commands that were over had left running, in words
        self.ended: tuple[str, ...] = ()
        self._on_input = on_input
        #: who has the number `pid` while the keeper lives, and how it ended; None: not known, or not our child
        self._who: str | None = None
        self._status: int | None = None
        #: all that it ran is gone, as it said when it left in order
        self._empty = False
        self._outgoing: Outgoing | None = None
        self._hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reason = ""
        self._quiet = False
        #: nothing may be said after `close`: the keeper would take it for the next session's
        self._closing = False
        self._may_go_on = False
        self._inherited: tuple[object, ...] = ()
        #: after `close`: the connection to a keeper that waits for another session, and its number
        self.left: Waiting | None = None
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        *,
        session: str,
        folder: str,
        basedir: str,
        builddir: str,
        on_input: Callable[[KeeperInput], None],
        settings: KeeperSettings | None = None,
        starter: Starter,
    ) -> Keeper:
        """Start the keeper of a new session.

        `folder` is the session's (made if missing), `basedir` the slot's, in which the build's directory is `builddir`
        (made if missing); both are absolute. Raises `KeeperFailed`.
        """
        os.makedirs(folder, mode=0o700, exist_ok=True)
        config = KeeperConfig(
            session=session,
            folder=folder,
            basedir=basedir,
            builddir=builddir,
            settings=settings or KeeperSettings(),
        )
        try:
            if not config.settings.run_as:
                os.makedirs(config.builder, exist_ok=True)
            for _ in range(_ATTEMPTS):
                keeper = cls(session, folder, on_input)
                if await keeper._start(config, starter):
                    return keeper
        except OSError as error:
            raise KeeperFailed(f"session {session}: cannot start its keeper: {error}") from None
        raise KeeperFailed(f"session {session}: its keeper did not start: it ended before it began")

    async def _start(self, config: KeeperConfig, starter: Starter) -> bool:
        """False: it, or what forks it, was gone before it had begun. Raises `KeeperFailed`, OSError."""
        waiting = starter.take()
        self._inherited = waiting.inherited
        if waiting.pid:
            self._is(waiting.pid)
        try:
            waiting.connection.sendall(config.dumps().encode() + b"\n")
            await asyncio.get_running_loop().create_unix_connection(lambda: _ToKeeper(self), sock=waiting.connection)
        except OSError:
            waiting.connection.close()
            return False
        try:
            await asyncio.wait_for(asyncio.shield(self._hello), _HELLO)
        except (asyncio.TimeoutError, ConnectionError) as error:
            said = ""
            with contextlib.suppress(OSError):  # none was made
                said = read_file(os.path.join(self.folder, LOG)).decode(errors="replace")[-2000:].strip()
            self._quiet = True
            if self._outgoing is not None:
                self._outgoing.close()
            await self._end_process()
            reason = self._reason or said
            if not reason and isinstance(error, ConnectionError):
                return False
            if not self.pid:
                starter.failed()
            raise KeeperFailed(
                f"session {self.session}: its keeper did not start: {reason or 'it said nothing'}"
            ) from None
        return True

    @classmethod
    async def attach(cls, *, session: str, folder: str, on_input: Callable[[KeeperInput], None]) -> Keeper | None:
        """The keeper that an earlier main process of this agent started; None when it is gone.

        When it is gone, so are all processes of the session when this returns.
        """
        keeper = cls(session, folder, on_input)
        try:
            with short_path(os.path.join(folder, SOCKET)) as address:
                await asyncio.get_running_loop().create_unix_connection(lambda: _ToKeeper(keeper), path=address)
            await asyncio.wait_for(asyncio.shield(keeper._hello), _HELLO)
        except (OSError, asyncio.TimeoutError):
            keeper._quiet = True
            if keeper._outgoing is not None:
                keeper._outgoing.close()
            await asyncio.to_thread(kill_leftovers, session, folder)
            return None
        return keeper

    def run(self, command: Command) -> None:
        """Journal `started` and run it. A command whose `n` is known already is not run again."""
        self._send(order_of(command))

    def complete_unstarted(self, command: Command, reason: str) -> None:
        """Rule 14: journal `started` and `completed` with `interrupted`, run nothing."""
        self._send(orders.complete_unstarted(command.n, command.name, command.digest, reason))

    def interrupt(self, n: int, reason: str) -> None:
        """End command `n` and its process tree; it completes with `interrupted=reason`. Not running: nothing."""
        self._send(orders.interrupt(n, reason))

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        """Bytes that a `PullWanted` asked for, from `offset`; `size` is the whole file's."""
        self._send(orders.feed(n, offset, size), data)

    def trim(self, seq: int) -> None:
        """Buildbot has stored all events up to `seq`."""
        self._send(orders.trim(seq))

    def contact(self) -> None:
        """The bridge was heard: the fencing clock starts again."""
        self._send({"op": "contact"})

    def let_go(self, copy: str) -> None:
        """Of its copy of a connection (`link_copies`)."""
        self._send(orders.let_go(copy))

    def give_back(self, program: orders.Said) -> None:
        """What the keeper starts where this main process is killed (`orders.give_back`)."""
        self._send(program)

    def detach(self, grace: float | None = None) -> None:
        """Planned restart: this main process leaves, another attaches within `grace` seconds (None: the setting).

        Afterwards this object is of no use and reports nothing any more.
        """
        self._send({"op": "detach", "grace": grace})
        self._quiet = True
        if self._outgoing is not None:
            self._outgoing.close()

    async def close(self, keep_journal: bool = False, *, again: bool = False) -> None:
        """Kill all processes of the session, wait until none is left, then remove its folder.

        With `keep_journal` the folder stays, and in it the journal. Does not report `KeeperLost`. `again`: the process
        may take another session, if nothing of this one is left; then it is `left`.
        """
        self._quiet = True
        self._may_go_on = again
        self._send(orders.close(again=again))
        self._closing = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._gone), _CLOSE)
        if self.left is None:
            await self._end_process()
        if not keep_journal:
            await asyncio.to_thread(shutil.rmtree, self.folder, True)

    def _send(self, message: dict[str, Any], data: bytes = b"") -> None:
        """To a keeper that is gone nothing is sent: `KeeperLost` has said so, or will."""
        if self._outgoing is not None and not self._closing:
            self._outgoing.send(message, data)

    def _connected(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    def _received(self, message: dict[str, Any]) -> None:
        event = message.get("ev")
        if event == "hello":
            if not self._hello.done():
                self._greeted(message)
        elif event == "forked":
            self._is(orders.number(message, "pid"))
        elif event == "closed":
            self.ended = orders.texts(message, "ended")
            self._empty = message.get("empty") is True
            if self._empty and self._may_go_on and message.get("again") is True:
                self._part()
        elif event == "broken":
            self._reason = orders.text(message, "reason")
        elif (news := news_of(self.session, message)) is not None:
            if isinstance(news, Journalled):
                self.seq = news.seq
            self._tell(news)

    def _greeted(self, message: dict[str, Any]) -> None:
        version = orders.number(message, "version")
        if version != WIRE_VERSION:
            self._reason = f"it speaks version {version}, this agent {WIRE_VERSION}"
            self._hello.set_exception(ConnectionError(self._reason))
            return
        self._is(orders.number(message, "pid"))
        self.seq = orders.number(message, "seq")
        self.running = orders.numbers(message, "running")
        self._hello.set_result(None)

    def _part(self) -> None:
        """The keeper has closed its session and waits for the next one at the other end of this connection."""
        assert self._outgoing is not None
        self.left = Waiting(connection=self._outgoing.leave(), pid=self.pid, inherited=self._inherited)
        if not self._gone.done():
            self._gone.set_result(None)

    def _is(self, pid: int) -> None:
        if pid != self.pid:
            self.pid, self._who = pid, identity(pid)

    def _tell(self, news: KeeperInput) -> None:
        if not self._quiet:
            self._on_input(news)

    def _disconnected(self) -> None:
        self._outgoing = None
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._hello.done():
            self._hello.set_exception(ConnectionError("it ended"))  # who waits for it cleans up
        elif not self._quiet:
            self._ending = asyncio.ensure_future(self._clean_up())

    async def _clean_up(self) -> None:
        """The keeper went without having been asked to: nothing that it ran may live on."""
        with contextlib.suppress(OSError, psutil.Error):  # what could not be looked at cannot be ended either
            await self._end_process()
        status = self._status
        if self._reason:
            reason = self._reason
        elif status is not None and status < 0:
            reason = f"its keeper was killed by signal {-status}"
        else:
            reason = "its keeper ended" if status is None else f"its keeper ended with status {status}"
        self._tell(KeeperLost(session=self.session, reason=reason))
        self._quiet = True

    async def _end_process(self) -> None:
        """Make sure that the keeper and all that it ran are gone."""
        if not await self._ends_within(1.0 if self._gone.done() else 0.01):
            await asyncio.to_thread(_kill_keeper, self.pid, self.folder)
            await self._ends_within(KILL_PATIENCE)  # what hangs in the kernel is not waited for
        if not (self._empty and self._status == 0):
            await asyncio.to_thread(kill_leftovers, self.session, self.folder)

    async def _ends_within(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self._has_ended():
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_LOOK)
        return True

    def _has_ended(self) -> bool:
        """Collects it where it is our child: an earlier main process's is not, nor where there is no subreaper."""
        if self._who is None:
            return True
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            if identity(self.pid) == self._who:
                return False
        else:
            if pid == 0:
                return False
            self._status = os.waitstatus_to_exitcode(status)
        self._who = None
        return True


class _ToKeeper(MessageStream):
    def __init__(self, keeper: Keeper) -> None:
        super().__init__(keeper._connected)
        self._keeper = keeper

    def data_received(self, data: bytes) -> None:
        """A keeper that says what none of ours does is none of ours: its session is lost, and nothing else."""
        try:
            for message, _ in self.frames.feed(data):
                self._keeper._received(message)
        except (BadFrame, orders.BadOrder) as error:
            self._keeper._reason = f"its keeper said what is no message: {error}"
            self.outgoing.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper._disconnected()


def kill_leftovers(session: str, folder: str) -> list[psutil.Process]:
    """End what a session's dead keeper left, and the keeper if it hangs. Blocks; returns what would not die."""
    left: list[psutil.Process] = []
    with contextlib.suppress(OSError, ValueError):
        pid, who = read_file(os.path.join(folder, PID_FILE)).decode().split()
        if identity(int(pid)) == who:
            left = _kill_keeper(int(pid), folder)
    if os.path.exists(os.path.join(folder, APART_FILE)):
        from worker_agent.keeper.apart import end_leftovers  # not what a main process has in its memory for ever

        if end_leftovers(session, folder):
            return left
    return left + kill_session(session)


def _kill_keeper(pid: int, folder: str) -> list[psutil.Process]:
    """With all that it runs, but for what runs as another user: that is ended with that user's rights."""
    if not os.path.exists(os.path.join(folder, APART_FILE)):
        return kill_tree(pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        keeper = psutil.Process(pid)
        return kill_until_none(lambda: [keeper] if alive(keeper) else [])
    return []
