"""The repository's compose file, run on a private daemon as a person would: `up`, `--scale`, `down`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.testing.child import Child
from contracts.testing.rabbitmq.ports import free_ports
from tests.acceptance.compose.bases import REPOSITORY
from tests.acceptance.compose.daemon import DockerDaemon
from tests.harness.master import BuildMaster

_OVERRIDE = "tests/acceptance/compose/override.yml"
_LABEL = "com.docker.compose"
_EVENTS = ("start", "die", "kill", "health_status")


class ContainerMaster(BuildMaster):
    """The master in its container, by its published port. Compose starts and stops it."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, "", url=None)
        self.www_port = port


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a container. `at`: epoch seconds; `attributes`: exitCode, signal, as Docker has them."""

    at: float
    action: str
    service: str
    container: str
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Event:
        attributes = told["Actor"]["Attributes"]
        return cls(
            at=told["timeNano"] / 1e9,
            action=told["Action"],
            service=attributes.get(f"{_LABEL}.service", ""),
            container=told["Actor"]["ID"][:12],
            attributes=attributes,
        )


class Ledger:
    """What the commands themselves wrote: one line when a run begins, one when it ends, whoever else forgets it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # the containers' user has another number

    def runs(self, event: str) -> list[tuple[int, str]]:
        """Build numbers and host names, in the order of `event` ("begun", "ended")."""
        path = self.folder / "runs"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(number), host) for kind, number, host in (line.split() for line in lines) if kind == event]

    def running(self) -> dict[int, str]:
        """Build number -> host of what began and has not ended."""
        ended = {number for number, _host in self.runs("ended")}
        return {number: host for number, host in self.runs("begun") if number not in ended}

    def release(self, number: int) -> None:
        (self.folder / f"release-{number}").touch()


class Events:
    """The daemon's events since this was made. Listened to all the time: the daemon remembers only the last few."""

    def __init__(self, daemon: DockerDaemon, output: Path) -> None:
        self._output = output
        filters = [f"--filter={what}" for what in ("type=container", *(f"event={event}" for event in _EVENTS))]
        self._listener = Child(
            ["docker", "events", f"--since={time.time():.6f}", *filters, "--format={{json .}}"],
            output=output,
            environment={**os.environ, **daemon.environment},
        )

    def of(self, action: str) -> list[Event]:
        """Events of compose's containers whose name begins with `action`, the oldest first."""
        assert self._listener.running, self._output.read_text()
        # the last line may be half written
        lines = [line for line in self._output.read_text().splitlines(keepends=True) if line.endswith("\n")]
        found = [Event.of(json.loads(line)) for line in lines]
        return [event for event in found if event.service and event.action.startswith(action)]

    def close(self) -> None:
        self._listener.end()


class ComposeProject:
    """`up`, `containers`, `down`."""

    def __init__(self, daemon: DockerDaemon, folder: Path) -> None:
        self.daemon = daemon
        self.ledger = Ledger(folder / "ledger")
        broker, broker_ui, master = free_ports(3)
        self._environment = {
            "COMPOSE_PROJECT_NAME": "compose-test", "LEDGER": str(self.ledger.folder), "COMPOSE_HTTP_TIMEOUT": "600",
            "BROKER_PORT": str(broker), "BROKER_UI_PORT": str(broker_ui), "MASTER_PORT": str(master),
        }  # fmt: skip
        self.master = ContainerMaster(folder / "master", master)
        self._background = ThreadPoolExecutor(1)

    def up(self, *arguments: str, timeout: float = 1500.0) -> None:
        self._compose("up", "--detach", *arguments, timeout=timeout)

    def begin_up(self, *arguments: str) -> Future[None]:
        """`up` in the background: it is done when what it takes away has stopped."""
        return self._background.submit(self.up, *arguments)

    def build(self) -> None:
        self._compose("build", timeout=1500.0)

    def run(self, service: str, *arguments: str) -> str:
        """What a container of `service` made for this printed."""
        return self._compose("run", "--rm", "-T", service, *arguments, timeout=120.0)

    def down(self) -> None:
        self._compose("down", "--volumes", "--timeout", "5", timeout=300.0)

    def containers(self, service: str) -> list[str]:
        """Short ids (their host names, too) of a service's running containers, the first one first."""
        project = f"--filter=label={_LABEL}.project={self._environment['COMPOSE_PROJECT_NAME']}"
        number = "{{.ID}} {{.Label " + f'"{_LABEL}.container-number"' + "}}"
        told = self.daemon.docker(
            "container", "ls", project, f"--filter=label={_LABEL}.service={service}", f"--format={number}"
        )
        return [line.split()[0] for line in sorted(told.splitlines(), key=lambda line: int(line.split()[1]))]

    def healthy(self, service: str) -> bool:
        """Every container of the service says that it is."""
        states = [self.daemon.inspect(name)["State"]["Health"]["Status"] for name in self.containers(service)]
        return bool(states) and set(states) == {"healthy"}

    def logs(self) -> str:
        return "\n".join(
            f"--- {service}\n" + self._docker_logs(name)
            for service in ("broker", "master", "worker", "worker-c")
            for name in self.containers(service)
        )

    def _docker_logs(self, name: str) -> str:
        ran = subprocess.run(
            ["docker", "logs", "--tail=40", name], env={**os.environ, **self.daemon.environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return ran.stdout

    def _compose(self, *arguments: str, timeout: float) -> str:
        """Standard output; both outputs are in the AssertionError where it failed."""
        command = [*compose_command(), "--file=docker-compose.yml", f"--file={_OVERRIDE}", *arguments]
        ran = subprocess.run(
            command, cwd=REPOSITORY, env={**os.environ, **self.daemon.environment, **self._environment},
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{' '.join(command)}:\n{ran.stdout[-6000:]}{ran.stderr[-6000:]}"
        return ran.stdout


def compose_command() -> Sequence[str]:
    """`docker compose` where Docker has the plug-in, else the older `docker-compose`."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose") is None:
        raise RuntimeError("docker compose is missing: apt-get install --no-install-recommends docker-compose")
    return ("docker-compose",)


def labels(daemon: DockerDaemon, image: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.inspect(image)["Config"]["Labels"] or {}
    return found
