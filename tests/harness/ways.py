"""The ways between a test's masters and agents: RabbitMQ, or the master itself (`pytest --transport amp`)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.link.office import accounts
from master_bridge.link.office.certificates import server_options

#: As they are chosen with `--transport`.
TRANSPORTS = ("rabbitmq", "amp")


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


class OverAMP:
    """To the one master in `folder`, whose certificate and account are there before it starts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        (self._port,) = free_ports(1)
        _options, fingerprint = server_options(folder, None)
        token = accounts.add(
            folder / accounts.ACCOUNTS_FILE, "guest"
        )  # as over RabbitMQ, so that agents' names are as well
        self.agent = f"amps://guest:{token}@127.0.0.1:{self._port}?fingerprint=sha256:{fingerprint}"

    def master(self, folder: Path) -> str:
        assert folder == self._folder, "over AMP agents come to one master"
        return f"amp://127.0.0.1:{self._port}"
