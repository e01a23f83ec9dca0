"""A master's process, forked. It is a real one: of its own are the session, the environment, the reactor, the ports."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from contracts.testing.child import Guard

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.harness.forking.imported"])


class ForkedMaster:
    """As `Child` with the command `twistd --nodaemon --python=buildbot.tac` in `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str], output: Path) -> None:
        begins, told = _FORKS.Pipe(duplex=False)
        with begins, told:
            self._process = _FORKS.Process(target=_run, args=(folder, dict(environment), output, told))
            self._process.start()
            begins.recv()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._guard = Guard(self.pid)

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def end(self, number: int = signal.SIGTERM, timeout: float = 30.0) -> None:
        """Signal it, wait, kill what is there of its group after `timeout` seconds."""
        self._guard.release()
        if self.running:
            (os.killpg if number == signal.SIGKILL else os.kill)(self.pid, number)
            self._process.join(timeout)
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.join()


def _run(folder: Path, environment: Mapping[str, str], output: Path, told: Connection) -> None:
    """In the new process. `told` that it leads a group, which can be killed as one."""
    os.setsid()
    told.send(None)
    told.close()
    with output.open("ab") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]  # a text stream, as Python opened it
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None  # chosen anew, by this environment
    os.chdir(folder)

    from twisted.internet import reactor  # not in the test's own process
    from twisted.scripts.twistd import run

    reactor._poller.close()  # type: ignore[attr-defined]  # the kernel shares it with all other forks
    reactor.__init__()  # type: ignore[misc]  # the same object, which modules have imported, as if it were new
    sys.argv = ["twistd", "--nodaemon", "--no_save", "--pidfile=", "--logfile=twistd.log", "--python=buildbot.tac"]
    run()
