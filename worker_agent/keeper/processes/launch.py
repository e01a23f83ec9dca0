"""Starting a command's process, and hearing of its end. POSIX."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker_agent.keeper.processes.guard import Guard
from worker_agent.keeper.processes.reaper import taken_first
from worker_agent.keeper.processes.signals import on_signal


@dataclass(frozen=True, kw_only=True)
class Launched:
    """A started process: its pid (session and group leader) and the keeper's ends of its pipes, non-blocking.

    With a terminal `stdout` is its master side, and `stdin` and `stderr` are None.
    """

    pid: int
    stdin: int | None
    stdout: int
    stderr: int | None


def launch(argv: Sequence[bytes], environ: Mapping[str, str], workdir: str, *, terminal: bool) -> Launched:
    """Start `argv` in a session of its own. Raises OSError: the program cannot be run, or no process be made."""
    if terminal:
        return _launch_on_terminal(argv, environ, workdir)
    with taken_first():
        process = subprocess.Popen(
            argv,
            cwd=workdir,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    ends = [_take(stream.fileno()) for stream in (process.stdin, process.stdout, process.stderr)]
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    _disown(process)
    return Launched(pid=process.pid, stdin=ends[0], stdout=ends[1], stderr=ends[2])


def _launch_on_terminal(argv: Sequence[bytes], environ: Mapping[str, str], workdir: str) -> Launched:
    import fcntl
    import termios

    master, slave = pty.openpty()

    def prepare() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    try:
        with taken_first():
            process = subprocess.Popen(
                argv,
                cwd=workdir,
                env=dict(environ),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=prepare,  # the keeper forks in its main thread only, and the hook takes no lock
            )
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    os.set_blocking(master, False)
    _disown(process)
    return Launched(pid=process.pid, stdin=None, stdout=master, stderr=None)


def _take(fd: int) -> int:
    own = os.dup(fd)
    os.set_blocking(own, False)
    return own


def _disown(process: subprocess.Popen[bytes]) -> None:
    """`Children` collects every child, so Popen must not."""
    process.returncode = 0


class Children:
    """Collects the keeper's children, started and adopted ones. One per process; needs a running loop."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._waiting: dict[int, asyncio.Future[int]] = {}
        on_signal(signal.SIGCHLD, self.reap)

    def watch(self, pid: int) -> asyncio.Future[int]:
        """Resolves to the exit status of `pid`: negative for the signal that ended it."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[pid] = future
        self.guard.watch(pid)
        return future

    def watched(self, pid: int) -> bool:
        """Does the started process `pid` still run, or at least wait to be collected?"""
        return pid in self._waiting

    def give_up(self, pid: int) -> None:
        """Stop waiting for a process that SIGKILL does not end (it hangs in the kernel)."""
        future = self._waiting.pop(pid, None)
        if future is not None and not future.done():
            future.set_result(-signal.SIGKILL)

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):  # none left
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.guard.collected(pid)
                future = self._waiting.pop(pid, None)
                if future is not None and not future.done():
                    future.set_result(os.waitstatus_to_exitcode(status))
