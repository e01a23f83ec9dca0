"""Real worker agents as child processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.testing.child import Child
from tests.harness.environment import program_environment


class Agent:
    """One `worker-agent` process with a state folder of its own. `capabilities`: "gtk=3.24", "python2.3", …"""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        name: str = "agent",
        slots: int = 1,
        capabilities: Sequence[str] = (),
        options: Sequence[str] = (),
        auto_capabilities: bool = False,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] = {},
        program: Sequence[str] = (sys.executable, "-m", "worker_agent"),
    ) -> None:
        self.folder = folder
        self.name = name
        self.url = url
        #: more variables, seen by its commands too
        self.environment = dict(environment)
        #: `prefix` runs it elsewhere: ("ip", "netns", "exec", …)
        self.command = [
            *prefix, *program, "--name", name, "--slots", str(slots),
            "--state", str(folder / "state"),
            "--auto-capabilities" if auto_capabilities else "--no-auto-capabilities", *options,
        ]  # fmt: skip
        for capability in capabilities:
            self.command += ["--capability", capability]
        self._child: Child | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> Agent:
        environment = {**program_environment(), "WORKER_AGENT_AMQP_URL": self.url, **self.environment}
        self._child = Child(self.command, output=self.folder / "agent.log", environment=environment, folder=self.folder)
        return self

    def stop(self, timeout: float = 60.0) -> None:
        """Drain (SIGTERM), and kill what is there after `timeout` seconds."""
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGTERM, timeout)

    def stop_at_once(self, timeout: float = 60.0) -> None:
        """Two SIGTERMs: its work is killed and given back."""
        if self._child is not None:
            child, self._child = self._child, None
            os.kill(child.pid, signal.SIGTERM)
            time.sleep(0.2)  # two signals sent at once are delivered as one
            child.end(signal.SIGTERM, timeout)

    def kill_main(self) -> None:
        """SIGKILL to the main process only."""
        if self._child is not None:
            child, self._child = self._child, None
            if child.running:
                os.kill(child.pid, signal.SIGKILL)
            child.end(signal.SIGKILL)

    def log(self) -> str:
        path = self.folder / "agent.log"
        return path.read_text(errors="replace") if path.exists() else ""
