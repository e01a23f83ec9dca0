"""How a keeper comes to be: forked by a fork server, which is there while builds follow one another.

An idle agent has none, nor has one that has a keeper for each of its slots, in a session or in waiting: its 3 MB
would be of no use. With `--run-as` a keeper starts a process of that user, which takes a Python's 80 ms; there one
keeper more waits for the next session, and has that process already.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from worker_agent.keeper.inherited import inherited
from worker_agent.keeper.isolated import isolated, with_socket
from worker_agent.keeper.processes.environment import command_environment
from worker_agent.keeper.processes.reaper import become_subreaper
from worker_agent.keeper.wire import FORK_REQUEST

log = structlog.get_logger(__name__)

#: Seconds after a keeper's start at which the next one is made (`run_as`): until then the first command has the
#: processor to itself.
REFILL = 1.0
#: Seconds after a session, or after the agent's start, for which the fork server waits for the next one; it takes some
#: 12 MB. 24 agents of a busy master that builds one short build a second have one each 24 s.
LINGER = 60.0
#: Seconds that a fork server has for its end, once told; it does nothing but end.
_END = 5.0
_PROGRAM = "from worker_agent.keeper.fork_server import serve; serve(int(sys.argv[2]), *sys.argv[3:])"


class ForkServer:
    """A fork server's process, seen by the main process."""

    def __init__(self, env: Mapping[str, str], run_as: str = "") -> None:
        """Raises OSError: no process can be made. `env`: what commands inherit; `run_as`: whom they run as."""
        become_subreaper()  # keepers are to be our children
        self._inherited = inherited()
        self.process, self._connection = with_socket(lambda fd: _run(fd, env, run_as))
        self._connection.setblocking(False)

    @property
    def usable(self) -> bool:
        """It lives, and what it forks has the limits and the control group that this process has now."""
        return self.process.poll() is None and self._inherited == inherited()

    def fork(self) -> socket.socket:
        """A connection to a keeper in the making, which waits for its `KeeperConfig`. Raises OSError: it is gone."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._connection, [FORK_REQUEST], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def close(self) -> None:
        """Have it end; its keepers go on."""
        self._connection.close()

    def wait(self) -> None:
        """After `close`: blocks until it is gone."""
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _run(fd: int, env: Mapping[str, str], run_as: str) -> subprocess.Popen[bytes]:
    # Isolated: nothing in the environment, the working directory or a .pth file changes what is run.
    return subprocess.Popen(
        [*isolated(_PROGRAM), "worker-agent keeper", str(fd), *([run_as] if run_as else [])],
        env=dict(env),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[fd],
        start_new_session=True,
    )


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A keeper without a session, and the connection at which it gets a `KeeperConfig`. `pid` 0: it has yet to say."""

    connection: socket.socket
    pid: int = 0
    #: limits and other things that a process has of its parent
    inherited: tuple[object, ...] = ()

    @property
    def gone(self) -> bool:
        """It has ended: somebody has killed it."""
        poll = select.poll()
        poll.register(self.connection, 0)  # the end of the other side is told without being asked for
        return bool(poll.poll(0))


class Starter:
    """Gives connections to new keepers. All methods return at once, but for `end`. Needs a running loop."""

    def __init__(
        self, run_as: str = "", env: Mapping[str, str] | None = None, *, room: Callable[[], int] = lambda: 1
    ) -> None:
        """`run_as`: the user whom commands run as, empty: the agent's own. `env`: the agent's, of which commands get
        what is not the agent's own (`environment.command_environment`). `room`: how many sessions may begin now, beside
        those that are there."""
        self._run_as = run_as
        self._room = room
        self._env = command_environment(os.environ if env is None else env)
        self._server: ForkServer | None = None
        #: keepers that wait for a session
        self._spares: list[Waiting] = []
        self._ended = False
        self._timers: list[asyncio.TimerHandle] = []
        self._endings: set[asyncio.Future[None]] = set()

    @property
    def pids(self) -> set[int]:
        """A child of this process that is not a stray."""
        return {self._server.process.pid} if self._server is not None else set()

    def take(self) -> Waiting:
        """A keeper for a session that begins now. Raises OSError: no process can be made."""
        self._plan((REFILL, self._refill))
        now = inherited()
        while self._spares:
            spare = self._spares.pop()
            if spare.inherited == now and not spare.gone:
                return spare
            spare.connection.close()  # it ends
        return Waiting(connection=self._fork(), inherited=now)

    @property
    def takes_back(self) -> bool:
        """A keeper whose session is over may wait here for the next one."""
        return not self._run_as and not self._ended

    def take_back(self, keeper: Waiting) -> None:
        """Its session is over."""
        if self.takes_back:
            self._spares.append(keeper)
        else:
            keeper.connection.close()

    def failed(self) -> None:
        """A keeper that was taken said nothing: whatever forked it is not asked again."""
        self._let_go()

    def warm_up(self) -> None:
        """A session may come soon."""
        self._plan((0, self._refill), (LINGER, self._let_go))

    def session_over(self) -> None:
        """Another one may come at once."""
        self._plan((0, self._refill), (LINGER, self._let_go))

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

    def _fork(self) -> socket.socket:
        with contextlib.suppress(OSError):  # it has ended just now: one is made as if there had been none
            return self._ready().fork()
        self._let_go()
        return self._ready().fork()

    def _ready(self) -> ForkServer:
        if self._server is None or not self._server.usable:
            self._let_go()
            self._server = ForkServer(self._env, self._run_as)
        return self._server

    def _refill(self) -> None:
        try:
            if self._run_as:
                if not self._spares:
                    self._spares.append(Waiting(connection=self._fork(), inherited=inherited()))
            elif self._room() > len(self._spares):
                self._ready()
            else:  # whatever session comes has a keeper
                self._end_server()
        except OSError as error:  # no room for one more process: the next session will say so, if it still holds
            log.warning("fork_server_not_started", reason=str(error))

    def _let_go(self) -> None:
        for spare in self._spares:
            spare.connection.close()  # it ends
        self._spares.clear()
        self._end_server()

    def _end_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            ending = asyncio.ensure_future(asyncio.to_thread(server.wait))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
