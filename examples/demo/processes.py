"""The master and the agents of the demo: real processes, each with a log file, ended by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from contracts.testing.child import Child
from contracts.testing.rabbitmq.ports import free_ports
from examples.demo.errors import DemoError

MASTER = "master"
BIN = Path(sys.executable).parent
MASTER_READY = 90.0
#: Seconds an agent gets to end what it does before it is told to give its work back.
DRAIN = 2.0
STOP = 20.0


@dataclass
class Process:
    name: str
    log: Path
    child: Child

    def tail(self, lines: int = 25) -> str:
        """The end of its log, after a sentence that names the file."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"The end of {self.log}:\n" + "\n".join(text.splitlines()[-lines:])


@dataclass
class Processes:
    """Everything the demo has started but the broker."""

    logs: Path
    started: list[Process] = field(default_factory=list)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path | None = None
    ) -> Process:
        """Start a process in `folder`. What it prints goes to a file; `log` is a better one that it writes itself."""
        output = self.logs / f"{name}.log"
        try:
            child = Child(command, output=output, environment={**os.environ, **environment}, folder=folder)
        except OSError as error:
            raise DemoError(f"{name} cannot be started: {command[0]}: {error.strerror}. Try `make clean`.") from None
        self.started.append(Process(name=name, log=log or output, child=child))
        return self.started[-1]

    def check(self) -> None:
        """Raise `DemoError` with the end of its log when a process has ended by itself."""
        for process in self.started:
            if not process.child.running:
                status = process.child.process.returncode
                raise DemoError(f"{process.name} ended with status {status}. {process.tail()}")

    def stop(self) -> None:
        """End all: agents are asked to finish, then told to give back; the master last."""
        agents = [process.child for process in self.started if process.name != MASTER]
        for agent in agents:
            if agent.running:
                os.kill(agent.pid, signal.SIGTERM)
        deadline = time.monotonic() + DRAIN
        while any(agent.running for agent in agents) and time.monotonic() < deadline:
            time.sleep(0.05)
        for agent in agents:
            agent.end(signal.SIGTERM, STOP)
        for process in self.started:
            if process.name == MASTER:
                process.child.end(signal.SIGTERM, STOP)
        self.started.clear()


class DemoMaster:
    """The master in `folder`: `create` it, `start` it; `url` is the address of its web page."""

    def __init__(self, folder: Path, repository: Path, revision: str) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}/"
        self._folder = folder
        self._environment = {
            "DEMO_REPOSITORY": str(repository),
            "DEMO_REVISION": revision,
            "DEMO_PYTHON": sys.executable,
            "DEMO_WWW_PORT": str(port),
        }

    def create(self) -> None:
        """Its folder and database, for which no broker is needed. Raises `DemoError`."""
        configuration = Path(__file__).with_name("master.cfg")
        made = subprocess.run(
            [str(BIN / "buildbot"), "create-master", "--quiet", f"--config={configuration}", str(self._folder)],
            capture_output=True, text=True, env={**os.environ, **self._environment},
        )  # fmt: skip
        if made.returncode:
            raise DemoError(f"buildbot create-master failed:\n{made.stdout}{made.stderr}")

    def start(self, processes: Processes, url: str) -> None:
        """Returns when its web page answers. Raises `DemoError`."""
        command = [str(BIN / "buildbot"), "start", "--nodaemon", str(self._folder)]
        environment = {**self._environment, "MASTER_BRIDGE_URL": url}
        master = processes.start(MASTER, command, environment, self._folder, log=self._folder / "twistd.log")
        deadline = time.monotonic() + MASTER_READY
        while not _answers(self.url):
            processes.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the master does not answer at {self.url}. {master.tail()}")
            time.sleep(0.1)


def start_agent(processes: Processes, folder: Path, name: str, url: str, *options: str) -> Process:
    """An agent with one slot. The URL goes by the environment, as a command line is readable by everybody.

    It sends traces where the environment names a collector.
    """
    folder.mkdir(parents=True)
    command = [str(BIN / "worker-agent"), "--auto-capabilities", "--name", name, "--state", str(folder), *options]
    if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
        command.append("--traces")
    return processes.start(name, command, {"WORKER_AGENT_URL": url}, folder)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}api/v2/masters", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
