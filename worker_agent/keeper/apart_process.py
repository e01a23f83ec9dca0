"""A session's commands in a process of another user: the process itself. Its keeper's side is in `apart`.

It has that user's rights and no capability. What runs beside it as that user may kill it, which its keeper sees, but
neither trace it nor read its memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import traceback
from collections.abc import Mapping
from typing import Any

from contracts.operations.lossy_output import replace_standard_error
from worker_agent.keeper import orders
from worker_agent.keeper.commands.running import Commands
from worker_agent.keeper.processes.guard import Guard, end_what_is_left
from worker_agent.keeper.processes.reaper import become_subreaper, go_first, identity
from worker_agent.keeper.processes.signals import on_signal
from worker_agent.keeper.second_user import close_to_others
from worker_agent.keeper.settings import KeeperConfig
from worker_agent.keeper.wire import Frames, encode

#: Bytes that the keeper has not read yet, above which nothing more is read of pipes and files.
_AHEAD = 1024 * 1024


def main(fd: int) -> None:
    """`fd` is a connected socket to the keeper."""
    replace_standard_error()
    go_first()  # before it is closed to others: then its own score is root's
    close_to_others()
    become_subreaper()
    asyncio.run(_main(socket.socket(fileno=fd)))


def sweep(session: str, processes: list[str]) -> None:
    """End what is left of a session: `processes` are numbers, or "number:identity" where that may be another's now."""
    replace_standard_error()
    close_to_others()
    pids = []
    for process in processes:
        pid, _, who = process.partition(":")
        if not who or identity(int(pid)) == who:
            pids.append(int(pid))
    end_what_is_left(session, pids)


async def _main(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    process = _Process()
    await loop.connect_accepted_socket(lambda: process, connection)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        on_signal(number, lambda: None)  # a service manager's, to all of the service: the keeper ends us
    await process.over.wait()


class _Process(asyncio.Protocol):
    """The keeper on the other end; also the `runner.Listener` of the commands."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._frames = Frames()
        self._transport: asyncio.Transport
        self._commands: Commands | None = None
        self._guard: Guard | None = None
        self._room = (True, True)
        self._paused = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_AHEAD)

    def data_received(self, data: bytes) -> None:
        for message, bulk in self._frames.feed(data):
            self._order(message, bulk)

    def connection_lost(self, exc: Exception | None) -> None:
        """The keeper is gone: so is all that it ran."""
        if self._ended:
            self.over.set()
        elif not self._ending:
            self._spawn(self._end())

    def pause_writing(self) -> None:
        self._paused = True
        self._mind_room()

    def resume_writing(self) -> None:
        self._paused = False
        self._mind_room()

    def _order(self, message: Mapping[str, Any], data: bytes) -> None:
        op = message["op"]
        if op == "begin":
            self._begin(message["config"])
            return
        commands = self._commands
        if commands is None:
            return  # it could not begin, which it has said
        if op == "run":
            args, unwanted = message["args"], message["unwanted"]
            commands.run(message["n"], message["name"], args, message["digest"], unwanted=unwanted)
        elif op == "interrupt":
            commands.interrupt(message["n"])
        elif op == "feed":
            commands.feed(message["n"], message["offset"], message["size"], data)
        elif op == "room":
            self._room = (message["output"], message["uploads"])
            self._mind_room()
        elif op == "attached":
            commands.attached()
        elif op == "kill_all":
            self._spawn(self._kill_all(commands))
        elif op == "end":
            self._spawn(self._end())

    def _begin(self, fields: Mapping[str, Any]) -> None:
        config = KeeperConfig.of(fields)
        try:
            os.makedirs(config.builder, exist_ok=True)
            self._guard = Guard()
            self._guard.begin(config.session)
        except OSError as error:
            self.broken(f"its commands cannot run in {config.builder}: {error.strerror}")
            return
        self._commands = Commands(config, os.environ, self._guard, self)
        self._say({"ev": "ready", "identity": identity(os.getpid())})

    async def _kill_all(self, commands: Commands) -> None:
        await commands.kill_all()
        self._say({"ev": "killed"})

    async def _end(self) -> None:
        self._ending = True
        try:
            ended = await self._commands.end() if self._commands is not None else []
            if self._guard is not None:
                self._guard.over()
            self._say({"ev": "ended", "ended": ended})
        except Exception:  # the guard looks for what is left, and the keeper
            traceback.print_exc()
            self._transport.abort()
        finally:
            self._ended = True
            if self._transport.is_closing():
                self.over.set()

    def _mind_room(self) -> None:
        if self._commands is not None:
            output, uploads = self._room
            self._commands.set_room(output and not self._paused, uploads and not self._paused)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What commands tell: runner.Listener

    def append(self, n: int, kind: str, value: Any = None, data: bytes = b"") -> None:
        self._say({"ev": "event", "n": n, "kind": kind, "value": value}, data)

    def completed(self, n: int, failure: str | None, infrastructure: str | None) -> None:
        self._say({"ev": "completed", "n": n, "failure": failure, "infrastructure": infrastructure})

    def pull(self, n: int, offset: int, length: int) -> None:
        self._say(orders.pull(n, offset, length))

    def broken(self, reason: str) -> None:
        self._say(orders.broken(reason))

    def _say(self, message: dict[str, Any], data: bytes = b"") -> None:
        if not self._transport.is_closing():
            self._transport.write(encode(message, len(data)))
            if data:
                self._transport.write(data)
