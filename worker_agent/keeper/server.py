"""One session of a keeper: its socket, its clocks, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from worker_agent.keeper import orders
from worker_agent.keeper.files import remove_file
from worker_agent.keeper.giving_back import GIVE_BACK_AFTER, Program
from worker_agent.keeper.link_copy import LET_GO_AFTER, LinkCopy
from worker_agent.keeper.runner import Listener, Runner
from worker_agent.keeper.session import KeeperSession
from worker_agent.keeper.settings import KeeperConfig
from worker_agent.keeper.wire import SOCKET, WIRE_VERSION, BadFrame, Frames, encode

#: Clocks are looked at this often at most; a fence of T seconds is at most T/8 late.
_LOOK = 1.0
#: Above this many bytes that the main process has not read, only the latest sequence number is kept for it.
_SLOW_READER = 64 * 1024


def boot_clock() -> float:
    """Seconds that go on while the machine is suspended, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class KeeperServer:
    """One session's keeper. `run` returns when it is over."""

    def __init__(self, config: KeeperConfig, runner: Callable[[Listener], Runner]) -> None:
        self._config = config
        self._settings = config.settings
        self._main: _Connection | None = None
        self._over = asyncio.Event()
        self._ending = False
        self._contact = boot_clock()
        self._fenced = False
        self._alone_since: float | None = time.monotonic()
        self._patience = self._settings.orphan_grace
        #: what starts where the main process is killed; None: nothing
        self._give_back: Program | None = None
        self._session = KeeperSession(
            config,
            runner,
            journalled=self._journalled,
            pulled=self._pulled,
            broken=self._broken,
        )
        self._news = 0
        self._link = LinkCopy(_may_command)
        #: the main process that gave us the session, while it is there
        self._first: _Connection | None = None
        #: it has asked us to take another one after this
        self._wanted_again = False
        self._closed: dict[str, Any] = {}
        self._told_to_end = False
        #: nothing that it ran can be left: it ran nothing, or all of it was looked for and ended
        self.orderly = True

    async def run(self, initial: socket.socket, as_before: Callable[[], Awaitable[bool]]) -> bool:
        """Until the session is over. True: nothing of it is left, and the main process of `initial` has another one.

        `as_before`: the process itself is as it was before the session.
        """
        loop = asyncio.get_running_loop()
        remove_file(SOCKET)
        # The folder of the session is the working directory: a socket's whole path may be longer than its 108 bytes.
        server = await loop.create_unix_server(lambda: _Connection(self), path=SOCKET)
        os.chmod(SOCKET, 0o600)
        with contextlib.suppress(OSError):  # then the main process hears that no copy is taken
            self._link.open()
        first = self._first = _Connection(self)
        await loop.connect_accepted_socket(lambda: first, initial)
        clocks = asyncio.ensure_future(self._clocks())
        await self._over.wait()
        clocks.cancel()
        server.close()
        self._link.close()
        remove_file(SOCKET)
        again = self._may_go_on()
        if again:
            self._link.drop()
            again = await as_before() and self._may_go_on()
        if self._main is not None:
            self._main.send({**self._closed, "again": again})
            self._main.close()
            self._main = None  # its end is none that anything is planned for: a timer would keep the session
            await asyncio.sleep(0)
        return again and not self._told_to_end

    def _may_go_on(self) -> bool:
        """The process may take another session, as far as this one knows."""
        wanted = self._wanted_again and self._main is self._first
        return wanted and self._session.empty and not self._told_to_end

    def told_to_end(self, signal: str) -> None:
        """A service manager may signal all processes of the service: end in order, not with processes left over.

        `signal`: its name. Also while a session ends the process itself is meant: it takes no other one.
        """
        self._told_to_end = True
        self._broken(f"its keeper was told to end ({signal})")

    def attached(self, connection: _Connection) -> None:
        """The latest main process is the one that counts."""
        if self._main is not None:
            self._main.close()
        self._main = connection
        self._alone_since = None
        self._patience = self._settings.orphan_grace
        self._news = 0  # what came while nobody was attached is told by `hello`
        self._session.attached()
        connection.send(
            {
                "ev": "hello",
                "version": WIRE_VERSION,
                "pid": os.getpid(),
                "seq": self._session.seq,
                "running": self._session.running,
            }
        )

    def detached(self, connection: _Connection) -> None:
        if self._main is connection:
            self._main = None
            self._alone_since = time.monotonic()
            asyncio.get_running_loop().call_later(LET_GO_AFTER, self._link.let_go, self._link.name)
            if self._give_back is not None:
                asyncio.get_running_loop().call_later(GIVE_BACK_AFTER, self._start_to_give_back)

    def _start_to_give_back(self) -> None:
        """Once for each main process. This one was killed, for it said nothing of a restart."""
        program, self._give_back = self._give_back, None
        if program is not None and self._main is None and not self._ending:
            try:
                program.start()
            except OSError as error:  # no room for a process: the session ends after the grace, as without it
                print(f"what gives this session back cannot be started: {error}", file=sys.stderr, flush=True)  # noqa: T201

    def received(self, message: dict[str, Any], data: bytes) -> None:
        op = message.get("op")
        session = self._session
        if op == "run":
            self.orderly = False
            if self._fence_fell():
                self._fence()
            orders.carry_out(message, data, session)
            if self._fenced:
                session.condemn(self._fence_text())
        elif op == "contact":
            if self._fence_fell():
                self._fence()
            self._contact = boot_clock()
            self._fenced = False
        elif op == "detach":
            self._patience = orders.seconds(message, "grace") or self._settings.detach_grace
            self._give_back = None  # it comes back
        elif op == "give_back":
            self._give_back = orders.program(message)
        elif op == "close":
            self._wanted_again = message.get("again") is True
            self._end()
        elif op == "let_go":
            self._link.let_go(orders.text(message, "copy"))
        else:
            orders.carry_out(message, data, session)

    def refused(self, message: dict[str, Any], error: Exception) -> None:
        """A command whose order failed is over, and says why: its step would wait for it for ever."""
        if message.get("op") in ("run", "complete_unstarted"):
            try:
                self._session.fail(orders.number(message, "n"), f"its keeper cannot run it: {error}")
            except orders.BadOrder:
                return  # there is no command that it could be about
            except OSError as failed:  # neither the command nor its failure can be written
                self._broken(f"its keeper cannot journal: {failed}")

    def _journalled(self, seq: int) -> None:
        if self._main is not None and not self._news:
            asyncio.get_running_loop().call_soon(self._tell_news)
        self._news = seq

    def _tell_news(self) -> None:
        if self._main is not None and self._news and self._main.send_latest(orders.journalled(self._news)):
            self._news = 0
        elif self._main is None:
            self._news = 0  # the next main process learns it from `hello`

    def writable(self) -> None:
        """The main process reads again."""
        self._tell_news()

    def _pulled(self, n: int, offset: int, length: int) -> None:
        if self._main is not None:
            self._main.send(orders.pull(n, offset, length))

    def _broken(self, reason: str) -> None:
        print(reason, file=sys.stderr, flush=True)  # noqa: T201  # goes to keeper.log
        if self._main is not None:
            self._main.send(orders.broken(reason))
        self._end()

    def _end(self) -> None:
        if not self._ending:
            self._ending = True
            self._end_task = asyncio.ensure_future(self._end_all())

    async def _end_all(self) -> None:
        ended: list[str] = []
        try:
            ended = await self._session.end()
            self.orderly = True
        except Exception:
            traceback.print_exc()  # to keeper.log; the guard and the main process look for what is left
        finally:
            self._closed = {"ev": "closed", "ended": ended, "empty": self._session.empty}
            self._over.set()

    async def _clocks(self) -> None:
        fencing = self._settings.fencing
        look = min(_LOOK, fencing / 8 if fencing else _LOOK, self._settings.orphan_grace / 8)
        while True:
            await asyncio.sleep(look)
            try:
                if self._fence_fell():
                    self._fence()
            except Exception:
                traceback.print_exc()  # to keeper.log; the clock goes on
            if self._alone_since is not None and time.monotonic() - self._alone_since > self._patience:
                self._end()

    def _fence_fell(self) -> bool:
        fencing = self._settings.fencing
        return fencing is not None and not self._fenced and boot_clock() - self._contact > fencing

    def _fence(self) -> None:
        self._fenced = True
        self._fence_task = asyncio.ensure_future(self._session.kill_all(self._fence_text()))

    def _fence_text(self) -> str:
        return f"killed by strict fencing: no contact with the master for {self._settings.fencing:g} s"


class _Connection(asyncio.Protocol):
    """A main process on the other end."""

    def __init__(self, keeper: KeeperServer) -> None:
        self._keeper = keeper
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not _may_command(transport.get_extra_info("socket")):
            transport.close()
            return
        transport.set_write_buffer_limits(high=_SLOW_READER)
        self._keeper.attached(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message, bulk in self._frames.feed(data):
                self._carry_out(message, bulk)
        except BadFrame as error:  # where the next message begins nobody knows
            print(f"closing a connection that sends nonsense: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
            self.close()

    def _carry_out(self, message: dict[str, Any], bulk: bytes) -> None:
        """An order that cannot be carried out changes nothing: what runs, runs on, and the next one is heard."""
        try:
            self._keeper.received(message, bulk)
        except Exception as error:
            print("an order is not carried out:", file=sys.stderr)  # noqa: T201
            traceback.print_exc()  # to keeper.log
            self._keeper.refused(message, error)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._keeper.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.detached(self)

    def send(self, message: dict[str, Any]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(message))

    def send_latest(self, message: dict[str, Any]) -> bool:
        """Send unless the reader is slow; then the caller keeps the latest."""
        if not self._paused:
            self.send(message)
        return not self._paused

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _may_command(sock: Any) -> bool:
    """Only the user whom the keeper runs as, and root. Where the system cannot tell, the socket's mode decides."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", peer)
    return uid in (0, os.getuid())
