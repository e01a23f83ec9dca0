"""The agent under test: a process that COMMAND starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from contracts.testing.child import Child

#: Characters of the agent's own output that a report shows.
_TAIL = 2000


class WorkerProcess:
    """Runs COMMAND with `{url}`, `{connect}`, `{state}` and `{signature}` filled in; a URL is in the environment, too.

    `state` is an empty folder in the beginning, kept when the same agent is started again.
    """

    def __init__(self, command: Sequence[str], *, url: str, state: Path, signature: str) -> None:
        values = {"{url}": url, "{connect}": url, "{state}": str(state), "{signature}": signature}
        self.command = [_filled(word, values) for word in command]
        self.output = state.with_name(f"{state.name}.log")
        state.mkdir(parents=True, exist_ok=True)
        given = {"AMQP_URL": url, "WORKER_AGENT_AMQP_URL": url} if "://" in url else {}
        environment = {**os.environ, **given}
        self._child = Child(self.command, output=self.output, environment=environment)

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self._child.running

    @property
    def status(self) -> int | None:
        """Its exit status; None: it runs."""
        return self._child.process.poll()

    def terminate(self) -> None:
        """SIGTERM to the process that COMMAND started."""
        if self.running:
            os.kill(self._child.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the process that COMMAND started, not to its children."""
        if self.running:
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.process.wait()

    def end(self, patience: float = 5.0) -> None:
        """Two SIGTERMs, as an operator in a hurry; what is there after `patience` seconds is killed with its group."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.process.wait(0.3)  # two signals sent at once are delivered as one
        self._child.end(signal.SIGTERM, patience)

    def tail(self) -> str:
        """The end of what it printed."""
        return self.output.read_text(errors="replace")[-_TAIL:]


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
