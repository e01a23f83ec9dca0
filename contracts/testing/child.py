"""A child process that never outlives the process which started it, however that one ends. Standard library only."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Kills a process group when its standard input ends: when the process that holds the other end of it has ended.
#: (Linux's PR_SET_PDEATHSIG would do, but follows the thread that started the child, and is not on other systems.)
_GUARD = 'cat >/dev/null; kill -s KILL -- "-$1"'


class Guard:
    """Kills the process group of `pid` when this process has ended, however, without a `release` before."""

    def __init__(self, pid: int) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(pid)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def release(self) -> None:
        """Before the group is reaped: its number may be another's then."""
        self._process.kill()
        self._process.communicate()


class Child:
    """A process in a group and session of its own; terminal signals (Ctrl-C) do not reach it.

    Its output is appended to the file `output`. Raises `OSError` when `command` cannot be run.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        with output.open("ab") as sink:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip
        self._guard = Guard(self.process.pid)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        return self.process.wait(timeout)

    def send(self, number: int) -> None:
        """Send a signal to the whole process group, if the process still runs."""
        if self.running:
            os.killpg(self.process.pid, number)

    def end(self, number: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Signal the process, wait, kill its group when it is there after `timeout` seconds; return its status."""
        self._guard.release()
        if self.running:
            (os.killpg if number == signal.SIGKILL else os.kill)(self.process.pid, number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            return self.process.wait()
