"""A session's commands in a process of another user: the keeper's side. The process is in `apart_process`.

Journal, socket and folder of the session stay the keeper's; the process has a socket to the keeper and nothing else of
the agent's. So whatever a command asks for (a file's name, a link, a signal) is done with the other user's rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psutil

from worker_agent.keeper import orders
from worker_agent.keeper.files import read_file, remove_file
from worker_agent.keeper.isolated import with_socket
from worker_agent.keeper.processes.reaper import KILL_PATIENCE, descendants, is_stopped, kill_until_none, own_children
from worker_agent.keeper.runner import Listener
from worker_agent.keeper.second_user import NoSecondUser, SecondUser
from worker_agent.keeper.sending import MessageStream, Outgoing
from worker_agent.keeper.settings import KeeperConfig
from worker_agent.keeper.wire import APART_FILE, BadFrame

#: Seconds that the process has to say that nothing is left, beyond those in which it kills.
_END = KILL_PATIENCE + 5.0
#: Seconds between two looks whether something stopped it (SIGSTOP): then it keeps no time limit and hears no Stop. What
#: finds it stopped twice takes it for gone; an operator's signals to the whole service let it go on together with us.
_LOOK = 5.0
#: Events that it may tell; `started` and `completed` are the keeper's own words.
_KINDS = frozenset({"stdout", "stderr", "header", "log", "update", "write", "writer"})
_PIECE = 4096
_PROCESS = "from worker_agent.keeper.apart_process import main; main(int(sys.argv[2]))"
_SWEEP = "from worker_agent.keeper.apart_process import sweep; sweep(sys.argv[2], sys.argv[3:])"
_IDENTITY = re.compile(r"[0-9a-f./-]{1,100}")


class ApartProcess:
    """The process, which waits for its session. Raises OSError when made: it cannot be."""

    def __init__(self, user: SecondUser, environ: Mapping[str, str]) -> None:
        self.user = user
        self.process, self.socket = with_socket(
            lambda fd: subprocess.Popen(
                user.python(_PROCESS, "worker-agent commands", str(fd)),
                env=user.environ(environ),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[fd],
                start_new_session=True,
            )
        )

    @property
    def status(self) -> str:
        """How it ended, in words; it is waited for a moment."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        code = self.process.returncode
        if code is None:
            return "it closed its socket"
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with status {code}"


class Apart:
    """A `runner.Runner`. `open` first."""

    #: what runs as another user could have told lies
    empty = False

    def __init__(self, config: KeeperConfig, apart: ApartProcess, listener: Listener) -> None:
        self._session = config.session
        self._apart = apart
        self._listener = listener
        self._outgoing: Outgoing | None = None
        self._before: list[tuple[orders.Said, bytes]] = []
        self._ended: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._killed: list[asyncio.Future[None]] = []
        self._gone = asyncio.Event()
        self._lost = ""
        self._send({"op": "begin", "config": asdict(config)})
        self._opening = asyncio.ensure_future(self._open())
        self._watching = asyncio.ensure_future(self._watch())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _ToProcess(self), sock=self._apart.socket)
        assert self._apart.process.stderr is not None
        errors = self._apart.process.stderr.fileno()
        os.set_blocking(errors, False)
        loop.add_reader(errors, self._complaint, errors)

    async def _watch(self) -> None:
        stopped = False
        while not self._gone.is_set():
            await asyncio.sleep(_LOOK)
            before, stopped = stopped, is_stopped(self._apart.process.pid)
            if before and stopped:
                self.disconnected("something that runs as that user has stopped it (SIGSTOP)")

    # What the session asks for: runner.Runner

    def run(self, n: int, name: str, args: Mapping[str, Any], digest: str, *, unwanted: bool) -> None:
        self._send({**orders.run(n, name, args, digest), "unwanted": unwanted})

    def interrupt(self, n: int) -> None:
        self._send({"op": "interrupt", "n": n})

    def feed(self, n: int, offset: int, size: int, data: bytes) -> None:
        self._send(orders.feed(n, offset, size), data)

    def set_room(self, output: bool, uploads: bool) -> None:
        self._send({"op": "room", "output": output, "uploads": uploads})

    def attached(self) -> None:
        self._send({"op": "attached"})

    async def kill_all(self) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._killed.append(done)
        self._send({"op": "kill_all"})
        await done

    async def end(self) -> list[str]:
        self._watching.cancel()
        self._send({"op": "end"})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), _END)
        if self._outgoing is not None:
            self._outgoing.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._gone.wait(), 1.0)
        if not (self._ended.done() and not self._lost):
            await asyncio.to_thread(self._end_by_force)
        await asyncio.to_thread(self._collect)
        remove_file(APART_FILE)
        return self._ended.result() if self._ended.done() else []

    # What the process tells

    def connected(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        for message, data in self._before:
            outgoing.send(message, data)
        self._before = []

    def received(self, message: Mapping[str, Any], data: bytes) -> None:
        """Raises `BadOrder`: what it says is believed as little as what a build says."""
        event = message.get("ev")
        listener = self._listener
        if event == "ready":
            self._note(orders.text(message, "identity"))
        elif event == "event":
            kind = orders.text(message, "kind")
            if kind not in _KINDS:
                raise orders.BadOrder(f"{kind[:40]!r} is no event of a command")
            listener.append(orders.number(message, "n"), kind, message.get("value"), data)
        elif event == "completed":
            failure, infrastructure = (
                None if message.get(name) is None else orders.text(message, name)
                for name in ("failure", "infrastructure")
            )
            listener.completed(orders.number(message, "n"), failure, infrastructure)
        elif event == "pull":
            n, offset, length = (orders.number(message, name) for name in ("n", "offset", "length"))
            listener.pull(n, offset, length)
        elif event == "broken":
            listener.broken(orders.text(message, "reason"))
        elif event == "killed":
            self._all_killed()
        elif event == "ended" and not self._ended.done():
            self._ended.set_result(list(orders.texts(message, "ended")))

    def disconnected(self, reason: str = "") -> None:
        self._gone.set()
        self._all_killed()
        if self._ended.done() or self._lost:
            return
        self._lost = (
            f"the process that runs its commands as {self._apart.user.name} is gone: {reason or self._apart.status}"
        )
        self._ended.set_result([])
        self._listener.broken(self._lost)

    def _note(self, identity: str) -> None:
        """For a main process that finds this keeper dead."""
        if not _IDENTITY.fullmatch(identity):
            raise orders.BadOrder("identity is none")
        # a full disk: the process ends with its keeper all the same
        with contextlib.suppress(OSError), open(APART_FILE, "w") as file:
            file.write(f"{self._apart.process.pid} {identity} {self._apart.user.name}\n")

    def _all_killed(self) -> None:
        for done in self._killed:
            if not done.done():
                done.set_result(None)
        self._killed = []

    def _send(self, message: orders.Said, data: bytes = b"") -> None:
        if self._outgoing is None:
            self._before.append((message, data))
        else:
            self._outgoing.send(message, data)

    def _complaint(self, errors: int) -> None:
        """What it prints goes to the keeper's log."""
        try:
            said = os.read(errors, _PIECE)
        except BlockingIOError:
            return
        if not said:
            asyncio.get_running_loop().remove_reader(errors)
            return
        sys.stderr.write(said.decode("utf-8", "replace"))
        sys.stderr.flush()

    def _end_by_force(self) -> None:
        """It went, or does not end: nothing that it ran may live on. What it left came to the keeper, a subreaper."""
        pids = {self._apart.process.pid, *own_children()}
        if not _sweep(self._apart.user, self._session, [str(pid) for pid in pids]):
            # What is left may have ended or stopped the sweep, its own user's. None of it can do that to us.
            kill_until_none(lambda: descendants(psutil.Process()))

    def _collect(self) -> None:
        try:
            self._apart.process.wait(1.0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.kill(self._apart.process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel
                self._apart.process.wait(1.0)


def end_leftovers(session: str, folder: str | os.PathLike[str]) -> bool:
    """What a dead keeper left to the process that its `APART_FILE` names, and that process. Blocks.

    False: it has no such file, so its commands were its own.
    """
    try:
        pid, identity, name = os.fsdecode(read_file(os.path.join(folder, APART_FILE))).split()
    except (OSError, ValueError):
        return False
    try:
        _sweep(SecondUser.named(name), session, [f"{pid}:{identity}"])
    except NoSecondUser as error:
        print(f"what session {session} left running is not ended: {error}", file=sys.stderr, flush=True)  # noqa: T201
    return True


def _sweep(user: SecondUser, session: str, pids: list[str]) -> bool:
    """End the trees of `pids` and all that carries the session's mark, with the rights of `user`. Was that done?"""
    try:
        swept = subprocess.run(
            user.python(_SWEEP, "worker-agent sweep", session, *pids),
            env=user.environ(os.environ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=_END,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"what session {session} left running may not be ended: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return False
    return swept.returncode == 0


class _ToProcess(MessageStream):
    def __init__(self, apart: Apart) -> None:
        super().__init__(apart.connected)
        self._apart = apart

    def data_received(self, data: bytes) -> None:
        try:
            for message, bulk in self.frames.feed(data):
                self._apart.received(message, bulk)
        except (BadFrame, orders.BadOrder) as error:
            self._apart.disconnected(f"it said what is no message: {error}")
            self.outgoing.close()
        except Exception as error:  # a journal that cannot be written is the session's end, not this link's
            traceback.print_exc()  # to keeper.log
            self._apart.disconnected(f"what it said could not be kept: {error}")
            self.outgoing.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._apart.disconnected()
