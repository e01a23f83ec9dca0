"""What the agent's main process does with files of builds: itself, or by a process of the user who owns them.

With `--run-as` a build can put links where the agent looks: whatever is looked at, made, moved or removed there is done
with that user's rights. Each job is a function of `worker_agent.agent.errand_jobs`, by its name, with JSON's values.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Protocol

import structlog

from worker_agent.keeper.second_user import SecondUser

log = structlog.get_logger(__name__)

#: Seconds for a job of the process; then it is ended, since a build of its user can stop it, and another is started.
PATIENCE = 30.0
#: The same for removing a build directory, which may be large.
REMOVING_PATIENCE = 600.0
_CODE = "sys.path += {path!r}; from worker_agent.agent.errand_jobs import main; main(int(sys.argv[2]))"


class Errands(Protocol):
    """Does jobs; safe to call from any thread."""

    #: another process does them, so that a call may wait for it
    apart: bool

    def do(self, job: str, *arguments: Any) -> Any:
        """What `errand_jobs.JOBS[job]` returns. Raises OSError, also where nobody is there to do it."""


class Here:
    """With our own rights, here."""

    apart = False

    def do(self, job: str, *arguments: Any) -> Any:
        """In this process. Raises what the job raises."""
        from worker_agent.agent.errand_jobs import JOBS

        return JOBS[job](*arguments)

    @property
    def pids(self) -> set[int]:
        return set()

    def close(self) -> None:
        pass


class ByUser:
    """By a process of `user`, started with the first job, and again when it went."""

    apart = True

    def __init__(self, user: SecondUser) -> None:
        self._user = user
        self._lock = threading.Lock()
        self._process: _Process | None = None

    @property
    def pids(self) -> set[int]:
        """A child of this process that is not a stray."""
        process = self._process
        return {process.pid} if process is not None else set()

    def do(self, job: str, *arguments: Any) -> Any:
        """In the user's process, which is started where there is none. Raises OSError, as jobs do."""
        patience = REMOVING_PATIENCE if job == "remove" else PATIENCE
        with self._lock:
            if self._process is None or self._process.gone:
                self._process = _Process(self._user)
            process = self._process
            answer = process.ask(job, arguments)
        try:
            return answer.result(patience)
        except NoAnswer:
            process.kill()
            raise OSError(f"{job}: {self._user.name}'s process has not answered for {patience:g} s") from None

    def close(self) -> None:
        """Ends that process; the next errand starts another."""
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process = None


class _Process:
    def __init__(self, user: SecondUser) -> None:
        """Raises OSError."""
        self._user = user
        self._socket, theirs = socket.socketpair()
        path = [place for place in sys.path if place]
        try:
            self._process = subprocess.Popen(
                user.argv([sys.executable, "-I", "-S", "-c", "import sys; " + _CODE.format(path=path),
                           "worker-agent errands", str(theirs.fileno())]),
                env=user.environ(os.environ),
                cwd="/",
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )  # fmt: skip
        except OSError:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.gone = False
        self._number = 0
        self._waiting: dict[int, Future[Any]] = {}
        self._guard = threading.Lock()
        threading.Thread(target=self._read, name="errands", daemon=True).start()

    def ask(self, job: str, arguments: Any) -> Future[Any]:
        """Raises OSError: it is gone."""
        answer: Future[Any] = Future()
        with self._guard:
            if self.gone:
                raise self._lost()
            self._number += 1
            number = self._number
            self._waiting[number] = answer
        line = json.dumps({"n": number, "job": job, "arguments": arguments}).encode("ascii") + b"\n"
        try:
            self._socket.sendall(line)
        except OSError:
            self._end()
        return answer

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it has ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # the same
            self._process.kill()
        self.close()
        self._end()

    def _read(self) -> None:
        """In a thread of its own, to the end of the process. It is as little trusted as a build is."""
        try:
            with self._socket.makefile("rb") as lines:
                for line in lines:
                    self._take(json.loads(line))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("helper_process_message_unreadable", reason=f"{type(error).__name__}: {error}")
        finally:
            self._end()
            self._socket.close()
            self._process.wait()

    def _take(self, message: dict[str, Any]) -> None:
        with self._guard:
            answer = self._waiting.pop(message["n"], None)
        if answer is None:
            return
        if "error" in message:
            number, text, file = message["error"]
            answer.set_exception(OSError(number, text, file) if number is not None else OSError(text))
        else:
            answer.set_result(message["result"])

    def _end(self) -> None:
        with self._guard:
            self.gone = True
            waiting, self._waiting = list(self._waiting.values()), {}
        for answer in waiting:
            answer.set_exception(self._lost())

    def _lost(self) -> OSError:
        return OSError(f"the process that works as {self._user.name} is gone; another one is started for the next job")
