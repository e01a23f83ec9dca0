"""A process that is forked, not started. It is a real one: its session, environment, reactor and ports are its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver, popen_forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contracts.testing.child import Guard

#: How a master is run, in its folder.
TWISTD = ("twistd", "--nodaemon", "--no_save", "--pidfile=", "--logfile=twistd.log", "--python=buildbot.tac")
_CONTEXT = multiprocessing.get_context("forkserver")


class Source:
    """A process that has imported `imports`, and forks."""

    def __init__(self, imports: str) -> None:
        server = forkserver.ForkServer()
        server.set_forkserver_preload([imports])
        self._server = SimpleNamespace(
            connect_to_new_process=server.connect_to_new_process, read_signed=forkserver.read_signed
        )

    def start(self, target: Callable[..., None], arguments: Sequence[Any]) -> Any:
        """The process, a `multiprocessing.Process`. By one thread at a time."""
        process = _CONTEXT.Process(target=target, args=tuple(arguments))
        used = vars(popen_forkserver)
        usual = used["forkserver"]
        used["forkserver"] = self._server  # multiprocessing has one for all, with one list of imports
        try:
            process.start()
        finally:
            used["forkserver"] = usual
        return process


_MASTERS, _AGENTS = (Source(f"tests.harness.forking.{imports}") for imports in ("master_imports", "agent_imports"))


class Forked:
    """A process of `source` in a group and session of its own, in which `run(arguments)` is called; as `Child`.

    It never outlives the process which started it. Its output is appended to the file `output`; `folder`: where it
    works, this process's own by default. `environment` is all of its environment.
    """

    def __init__(
        self,
        source: Source,
        run: Callable[[Sequence[str]], None],
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        begins, told = _CONTEXT.Pipe(duplex=False)
        with begins, told:
            self._process = source.start(
                _begin, [run, arguments, output, dict(environment), folder or Path.cwd(), told]
            )
            told.close()  # or the end of one that could not begin would not be noticed
            begins.recv()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self._guard = Guard(self.pid)

    @property
    def running(self) -> bool:
        """It has not ended."""
        return bool(self._process.is_alive())

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, of one that was killed less than 0. Raises `AssertionError` after `timeout` seconds."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"{self.pid} runs after {timeout} s"
        return int(self._process.exitcode)

    def end(self, number: int = signal.SIGTERM, timeout: float = 30.0) -> int:
        """Signal it, wait, kill its group when it is there after `timeout` seconds; returns its exit status."""
        self._guard.release()
        if self.running:
            # it may have ended, and its source may have waited for it and not have told so yet
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if number == signal.SIGKILL else os.kill)(self.pid, number)
            self._process.join(timeout)
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return self.wait()


def forked_master(folder: Path, environment: Mapping[str, str], output: Path) -> Forked:
    """`twistd` with the buildbot.tac of `folder`."""
    return Forked(_MASTERS, _master, TWISTD, output=output, environment=environment, folder=folder)


def forked_agent(
    arguments: Sequence[str], *, environment: Mapping[str, str], output: Path, folder: Path | None = None
) -> Forked:
    """`python -m worker_agent ARGUMENTS`."""
    return Forked(_AGENTS, _agent, arguments, output=output, environment=environment, folder=folder)


def _begin(
    run: Callable[[Sequence[str]], None],
    arguments: Sequence[str],
    output: Path,
    environment: Mapping[str, str],
    folder: Path,
    told: Connection,
) -> None:
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
    run(arguments)


def _master(arguments: Sequence[str]) -> None:
    from twisted.internet import reactor
    from twisted.scripts.twistd import run

    reactor._poller.close()  # type: ignore[attr-defined]  # the kernel shares it with all other forks
    reactor.__init__()  # type: ignore[misc]  # the same object, which modules have imported, as if it were new
    sys.argv = list(arguments)
    run()


def _agent(arguments: Sequence[str]) -> None:
    from worker_agent import __main__

    sys.argv = ["worker-agent", *arguments]
    sys.orig_argv = [sys.executable, "-m", "worker_agent", *arguments]  # which it starts again
    __main__.main()
