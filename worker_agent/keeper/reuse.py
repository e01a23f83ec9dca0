"""The keeper's process, from its first session to its last.

May a keeper whose session is over take another one? Only if it is as it was before: nothing may outlive its session.
A keeper that takes the next session saves three forks and as many ends of processes: ten of the twenty milliseconds of
processor time that keepers and commands of a short build took. What is looked at here is what a session could leave in
the process itself, or do to it; that none of its processes is left the session says (`KeeperSession.empty`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from contracts.operations.lossy_output import replace_standard_error
from worker_agent.keeper import orders
from worker_agent.keeper.commands.running import Commands
from worker_agent.keeper.files import read_file
from worker_agent.keeper.inherited import inherited
from worker_agent.keeper.processes.guard import Guard, log_to
from worker_agent.keeper.processes.reaper import become_subreaper, identity
from worker_agent.keeper.processes.signals import is_ignored, on_signal
from worker_agent.keeper.runner import Listener, Runner
from worker_agent.keeper.server import KeeperServer
from worker_agent.keeper.settings import KeeperConfig
from worker_agent.keeper.wire import LOG, PID_FILE, encode

if TYPE_CHECKING:
    from worker_agent.keeper.apart import ApartProcess

#: Bytes of resident memory that a keeper may have more than at its first session. A build with a large log or file may
#: leave that much free in the process, where no other process can use it.
GROWN_MAX = 8 * 1024 * 1024
#: Looks, and seconds between them, at threads that are about to end: those of files do so after their last call.
_LOOKS, _PAUSE = 10, 0.002
_PEEK = 4096
#: A service manager's, to all processes of the service; the guard hears none of them.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main(fd: int, run_as: str = "") -> None:
    """`fd` is a connected socket to the main process, which gives the `KeeperConfig` when there is a session.

    `run_as`: the user whom its commands run as; empty: ours.
    """
    replace_standard_error()  # it goes to keeper.log, on a disk that may be full
    initial = socket.socket(fileno=fd)
    with contextlib.suppress(OSError):  # nobody is there any more, which the next line says
        initial.sendall(encode(orders.forked(os.getpid())))
    apart = _process_of(run_as) if run_as else None
    become_subreaper()
    with contextlib.suppress(asyncio.CancelledError):  # told to end while there was no session
        asyncio.run(_keep_sessions(_Process(apart), initial))


class _Process:
    """What a keeper has from one session to the next."""

    def __init__(self, apart: ApartProcess | None) -> None:
        self.apart = apart
        self.identity = identity(os.getpid())
        self.guard: Guard | None = None
        self.before: Before | None = None
        #: of the session that there is
        self.server: KeeperServer | None = None
        #: nothing that it ran can be left
        self.orderly = True


async def _keep_sessions(process: _Process, initial: socket.socket) -> None:
    """All of its life in one event loop: one that is made for each session costs half a millisecond."""
    task = asyncio.current_task()
    assert task is not None

    def told_to_end(by: signal.Signals) -> None:
        if process.server is not None:
            process.server.told_to_end(by.name)
        else:
            task.cancel()

    for number in _ENDING:
        if not is_ignored(number):  # as `nohup` has it, for commands as well
            on_signal(number, partial(told_to_end, number))
    try:
        while (config := await _next(process, initial)) is not None:  # None: there is no session for it
            following = initial.dup()
            if not await _keep_session(process, config, initial):
                break
            initial = following
    finally:
        if process.guard is not None and process.orderly:  # else it looks for what is left, once we are gone
            process.guard.over()


async def _keep_session(process: _Process, config: KeeperConfig, initial: socket.socket) -> bool:
    """One session, to its end. True: the process takes another one. Raises OSError when it cannot work."""
    try:
        os.chdir(config.folder)
        log_to(LOG)
        with open(PID_FILE, "w") as file:
            file.write(f"{os.getpid()} {process.identity}\n")
        if process.apart is None:
            process.guard = process.guard or Guard()
            process.guard.begin(config.session, os.path.join(config.folder, LOG))
        process.before = process.before or Before()
        process.server = KeeperServer(config, partial(_runner, config, process))
        again = await process.server.run(initial, process.before.is_now)
    except OSError as error:  # a disk that takes nothing more, no room for a process
        with contextlib.suppress(OSError):
            initial.sendall(encode({"ev": "broken", "reason": f"its keeper cannot work in {config.folder}: {error}"}))
        raise
    finally:
        process.orderly = process.server is None or process.server.orderly
        process.server = None
    if again:  # nothing of the session is held: neither its folder nor its log, nor what it would have done later
        await _end_tasks()
        # A session's objects know each other. Python looks for such garbage after some 700 more, so that each session
        # would begin with what is left of twenty and its memory lie between theirs. What was loaded before the fork is
        # frozen: to look at the rest takes 0.1 ms.
        gc.collect()
        if process.guard is not None:
            process.guard.rest()
        with contextlib.suppress(KeyError):  # it keeps where it found room: a folder that may have been the session's
            sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]  # a module's attribute
        os.chdir("/")
        log_to(os.devnull)
    return again


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _process_of(run_as: str) -> ApartProcess:
    from worker_agent.keeper.apart import ApartProcess  # memory that other keepers do without
    from worker_agent.keeper.second_user import SecondUser

    return ApartProcess(SecondUser.named(run_as), os.environ)


def _runner(config: KeeperConfig, process: _Process, session: Listener) -> Runner:
    if process.guard is not None:
        return Commands(config, os.environ, process.guard, session)
    from worker_agent.keeper.apart import Apart

    assert process.apart is not None
    return Apart(config, process.apart, session)


async def _next(process: _Process, initial: socket.socket) -> KeeperConfig | None:
    """`next_session`. Raises `CancelledError` when the process that is to run its commands has gone: whatever runs as
    that user may have killed it. It says nothing before it has a session."""
    if process.apart is None:
        return await next_session(initial)
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_reader(process.apart.socket, task.cancel)
    try:
        return await next_session(initial)
    finally:
        loop.remove_reader(process.apart.socket)


async def next_session(connection: socket.socket) -> KeeperConfig | None:
    """Wait for a session; None when there is none to come. Reads nothing of what follows."""
    connection.setblocking(False)
    line = b""
    while not line.endswith(b"\n"):
        try:
            seen = connection.recv(_PEEK, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(connection)
            continue
        except ConnectionResetError:  # the main process was killed before it had read all that it was told
            return None
        if not seen:
            return None
        line += connection.recv(seen.find(b"\n") + 1 or len(seen))
    return KeeperConfig.loads(line.decode())


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


class Before:
    """The process as it was when its first session began; made in the event loop."""

    def __init__(self) -> None:
        self._descriptors = _descriptors()
        self._memory = _memory()
        self._inherited = inherited()

    async def is_now(self) -> bool:
        """No thread, no descriptor and not much memory more; its limits, priority, control group and processors are
        those that it had. False as well where the system does not tell."""
        for _ in range(_LOOKS):  # a thread that hangs in a call of the file system does not end
            if threading.active_count() == 1:
                break
            await asyncio.sleep(_PAUSE)
        else:
            return False
        descriptors, memory = _descriptors(), _memory()
        if not (0 < descriptors <= self._descriptors and 0 < memory <= self._memory + GROWN_MAX):
            return False
        return inherited() == self._inherited  # a command may change those of its parent (renice, prlimit)


def _descriptors() -> int:
    """How many are open; 0: the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _memory() -> int:
    """Bytes that are resident; 0: the system does not tell."""
    try:
        return int(read_file("/proc/self/statm").split()[1]) * _PAGE
    except OSError:
        return 0
