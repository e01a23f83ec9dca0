"""Real worker agents as child processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.testing.child import Child
from tests.harness.environment import program_environment
from tests.harness.forking.process import Forked, forked_agent
from tests.harness.waiting import wait_for

#: The agent of this Python, as a program.
PROGRAM = (sys.executable, "-m", "worker_agent")


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
        program: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.name = name
        self.url = url
        #: more variables, seen by its commands too
        self.environment = dict(environment)
        #: `prefix` runs it elsewhere: ("ip", "netns", "exec", …); `program`: another one than this Python's
        self._program = [*prefix, *(program or PROGRAM)] if prefix or program else []
        self.arguments = [
            "--name", name, "--slots", str(slots), "--state", str(folder / "state"),
            "--auto-capabilities" if auto_capabilities else "--no-auto-capabilities", *options,
        ]  # fmt: skip
        for capability in capabilities:
            self.arguments += ["--capability", capability]
        self._child: Child | Forked | None = None
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
        output = self.folder / "agent.log"
        if self._program:
            command = [*self._program, *self.arguments]
            self._child = Child(command, output=output, environment=environment, folder=self.folder)
        else:
            self._child = forked_agent(self.arguments, environment=environment, output=output, folder=self.folder)
        return self

    def stop(self, timeout: float = 60.0) -> None:
        """Drain (SIGTERM), and kill what is there after `timeout` seconds."""
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGTERM, timeout)

    def stop_at_once(self, timeout: float = 60.0) -> None:
        """Two SIGTERMs: its work is killed and given back."""
        stop_all_at_once([self], timeout)

    def kill_main(self) -> None:
        """SIGKILL to the main process only."""
        if self._child is not None:
            child, self._child = self._child, None
            if child.running:
                with contextlib.suppress(ProcessLookupError):  # it has just ended, and is not known to have
                    os.kill(child.pid, signal.SIGKILL)
            child.end(signal.SIGKILL)

    def log(self) -> str:
        path = self.folder / "agent.log"
        return path.read_text(errors="replace") if path.exists() else ""


def stop_all_at_once(agents: Sequence[Agent], timeout: float = 60.0) -> None:
    """`Agent.stop_at_once` of all of them at the same time."""
    before = {agent: len(agent.log()) for agent in agents if agent.running}
    for agent in before:
        os.kill(agent.pid, signal.SIGTERM)

    def have_heard() -> bool:
        """Two signals sent at once are delivered as one. One that drained already ends with this one."""
        return all(not agent.running or "draining" in agent.log()[seen:] for agent, seen in before.items())

    wait_for(have_heard, timeout, lambda: f"{', '.join(agent.name for agent in before)}: draining", every=0.02)
    for agent in agents:
        agent.stop(timeout)
