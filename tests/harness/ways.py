"""The ways between a test's masters and agents: RabbitMQ, or the master itself (`pytest --transport amp`)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.link.office.enrolling import enrolled

#: As they are chosen with `--transport`: RabbitMQ, and wires to a master by the scheme of their agents' URL.
RABBITMQ = "rabbitmq"
WIRES = {"amp": "amps", "zmq": "zmq"}
TRANSPORTS = (RABBITMQ, *WIRES)


class Way(Protocol):
    """`master`: of a master in that folder; `agent`: of all agents."""

    def master(self, folder: Path) -> str: ...

    @property
    def agent(self) -> str: ...


class OverRabbitMQ:
    def __init__(self, url: str) -> None:
        self.agent = url

    def master(self, folder: Path) -> str:
        return self.agent


class OverOffice:
    """To the one master in `folder`, whose keys and account are there before it starts. `scheme`: the agents'."""

    def __init__(self, folder: Path, scheme: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        (self._port,) = free_ports(1)
        self._listens = scheme.removesuffix("s")
        # the account is called as over RabbitMQ, so that agents' names are as well
        self.agent = enrolled(folder, "guest", f"{scheme}://127.0.0.1:{self._port}", "agent", authority=False)

    def master(self, folder: Path) -> str:
        assert folder == self._folder, "without a broker agents come to one master"
        return f"{self._listens}://127.0.0.1:{self._port}"
