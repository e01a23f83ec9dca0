"""A process that outlives its keeper for a moment: it ends what the keeper ran if that was killed.

The agent's main process does the same when it is there; but whoever kills all of an agent at once (the system short of
memory, an operator) kills both. The kernel could be asked instead, from within each command's process between its fork
and its exec: that kills no more than that one process, only on Linux, and makes a start cost four times as much, for it
rules out vfork.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import traceback
from collections.abc import Callable, Iterable

import psutil

from worker_agent.keeper.processes.reaper import kill_until_none, marked, tree

#: Commands' processes that are known by their numbers, at once; of further ones only those that carry the mark.
_PLACES = 64
_NUMBER = struct.Struct("=i")
_OVER = b"o"
#: Bytes for the session's name and the path of its log; both are shorter.
_SESSION, _PATH = 256, 4096
_NAMES = _PLACES * _NUMBER.size
#: Descriptors that the guard keeps: standard error is the keeper's log.
_LOG = 2
#: A keeper has some 20 open.
_SOME = 256


class Guard:
    """The keeper's side, for one session after the other."""

    def __init__(self) -> None:
        # Shared with the guard: it sleeps until the keeper is gone, whatever is written here meanwhile.
        self._shared = mmap.mmap(-1, _NAMES + _SESSION + _PATH)
        self.pid = 0
        self._life = -1

    def begin(self, session: str, log: str = "") -> None:
        """It watches over this session from now on. Raises OSError: the system gives no process.

        `log`: the file that it complains to; empty: standard error, as it is now.
        """
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:  # it was killed while there was no session
            self.collected(self.pid)
        self._name(session, log)
        self.renew()

    def rest(self) -> None:
        """The session has ended, and none of its processes is left: until the next one there is nothing to do."""
        self._name("", "")

    def dismiss(self) -> None:
        """No session has come for a while, and without one it is only memory: `begin` makes another."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)  # whatever somebody has done to it; there is nothing for it to end
            os.waitpid(self.pid, 0)
            self.collected(self.pid)

    def _name(self, session: str, log: str) -> None:
        for start, size, text in ((_NAMES, _SESSION, session), (_NAMES + _SESSION, _PATH, log)):
            self._shared[start : start + size] = os.fsencode(text)[:size].ljust(size, b"\0")

    def renew(self) -> None:
        """Make sure that there is one: it may have been killed itself. Raises OSError."""
        if self.pid:
            return
        ours, self._life = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _guard(ours, self._shared)
            except BaseException:
                traceback.print_exc()  # to the keeper's log
            finally:
                os._exit(0)
        os.close(ours)

    def collected(self, pid: int) -> None:
        """`pid` has ended and was waited for."""
        if pid == self.pid:
            os.close(self._life)
            self.pid = 0
        else:
            self.forget(pid)

    def watch(self, pid: int) -> None:
        self._write(0, pid)

    def forget(self, pid: int) -> None:
        self._write(pid, 0)

    def over(self) -> None:
        """The session has ended, and none of its processes is left."""
        if self.pid:
            os.write(self._life, _OVER)
            os.close(self._life)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _write(self, old: int, new: int) -> None:
        """In the place of `old`, if it has one."""
        for place in range(0, _NAMES, _NUMBER.size):
            if _NUMBER.unpack_from(self._shared, place)[0] == old:
                _NUMBER.pack_into(self._shared, place, new)
                return


def _guard(life: int, shared: mmap.mmap) -> None:
    """In the guard: sleep until the other end of `life` is closed, which the end of the keeper does."""
    signal.set_wakeup_fd(-1)  # the loop's, which is the keeper's
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a service manager's, to all of the service: the keeper ends in order
    os.setsid()
    for descriptor in _descriptors():
        if descriptor > _LOG and descriptor != life:
            with contextlib.suppress(OSError):  # by which they were listed
                os.close(descriptor)
    if shared[_NAMES + _SESSION]:
        log_to(os.devnull)  # a log is not held beyond its session
    if os.read(life, 1) == _OVER:
        return
    session, log = (part.rstrip(b"\0") for part in (shared[_NAMES : _NAMES + _SESSION], shared[_NAMES + _SESSION :]))
    if log:
        with contextlib.suppress(OSError):  # what is left is ended all the same
            log_to(os.fsdecode(log))
    if session:
        end_what_is_left(session.decode(), [number for (number,) in _NUMBER.iter_unpack(shared[:_NAMES]) if number])


def log_to(path: str) -> None:
    """What this process prints goes to the file `path` from now on. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, _LOG)
    os.close(fd)


def end_what_is_left(session: str, pids: list[int]) -> None:
    """Kill the trees of `pids` and all that carries the mark of a command of the session. Blocks."""
    trees = [tree(pid) for pid in pids]  # now: a number may be another's as soon as its process is gone
    kill_until_none(lambda: _left(session, trees))


def _descriptors() -> Iterable[int]:
    try:
        return [int(name) for name in os.listdir("/dev/fd")]
    except OSError:  # a sandbox without /proc
        return range(_SOME)


def _left(session: str, trees: list[Callable[[], list[psutil.Process]]]) -> list[psutil.Process]:
    """Trees of the processes that the keeper had started, and all that carries the session's mark."""
    found: dict[int, psutil.Process] = {}
    for find in (*trees, *(tree(process.pid) for process in marked(f"{session}/"))):
        found.update((process.pid, process) for process in find())
    return list(found.values())
