"""The ways between a test's masters and agents: RabbitMQ, or the master itself (`pytest --transport amp`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.link.office import accounts
from master_bridge.link.office.accounts import ACCOUNTS_FILE
from master_bridge.link.office.enrolling import enrolled
from master_bridge.operating.office.link import connect_to_office
from master_bridge.ssh import authorized_keys
from tests.harness import broker_state
from tests.harness.ssh import HOST, SSHClient, SSHServer

#: As they are chosen with `--transport`: RabbitMQ, and wires to a master by the scheme of their agents' URL.
RABBITMQ = "rabbitmq"
WIRES = {"amp": "amps", "zmq": "zmq", "ssh": "ssh"}
TRANSPORTS = (RABBITMQ, *WIRES)
#: What only RabbitMQ can, or what only it has: as `@pytest.mark.rabbitmq(…)` and the table name it.
SEVERAL_MASTERS = "several masters share one fleet"
WITHOUT_MASTER = "a command that waits is begun while its master is down"
OTHER_PROGRAMS = "programs that speak AMQP: the worker in Node.js, tests that listen in"
BROKER = "the broker itself: it is killed, full, restarted; its queues, kinds and accounts"
#: The account of all agents, called as over RabbitMQ, so that agents' names are as well.
ACCOUNT = "guest"
LOOPBACK = "127.0.0.1"
#: How the names of all queues of offers begin.
OFFERS = "cap."


@dataclass(frozen=True)
class Entrance:
    """How agents come in: their URL, and variables of their environment."""

    url: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Way(Protocol):
    #: where agents connect to, on this machine
    port: int

    @property
    def folder(self) -> Path | None:
        """That of a master that is its own broker; None: there is a RabbitMQ."""

    def master(self, folder: Path) -> str:
        """The URL of a master in that folder."""

    def entrance(self, port: int | None = None, host: str = LOOPBACK) -> Entrance:
        """Of all agents. `port`: of something before it, `host`: this machine as they see it."""

    def queues(self) -> dict[str, int]:
        """Messages of each queue of offers, those that somebody holds too."""

    def operators(self) -> tuple[str, ...]:
        """Options of `master-bridge`: how an operator on this machine comes in."""

    def close(self) -> None:
        """Nothing of it is left."""


class OverRabbitMQ:
    """`url`: of a vhost. `node`: which it is on, for `queues`."""

    folder: Path | None = None

    def __init__(self, url: str, node: RabbitMQNode | None = None) -> None:
        self._node = node
        self._url = url
        self.port = urlsplit(url).port or 5672

    def master(self, folder: Path) -> str:
        return self._url

    def entrance(self, port: int | None = None, host: str = LOOPBACK) -> Entrance:
        return Entrance(self._url.replace(f"@{LOOPBACK}:{self.port}", f"@{host}:{port or self.port}"))

    def queues(self) -> dict[str, int]:
        assert self._node is not None
        vhost = unquote(urlsplit(self._url).path[1:])
        return {
            name: number for name, number in broker_state.queues(self._node, vhost).items() if name.startswith(OFFERS)
        }

    def operators(self) -> tuple[str, ...]:
        return ("--url", self._url)

    def close(self) -> None: ...


class OverOffice(ABC):
    """To the one master in `folder`, whose keys and account are there before it starts. `listens`: at which address."""

    port: int

    def __init__(self, folder: Path, listens: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._listens = listens

    def master(self, folder: Path) -> str:
        assert folder == self.folder, "without a broker agents come to one master"
        return self._url()

    @abstractmethod
    def _url(self) -> str: ...

    @abstractmethod
    def entrance(self, port: int | None = None, host: str = LOOPBACK) -> Entrance: ...

    def queues(self) -> dict[str, int]:
        """As an operator sees them who has the master's folder."""
        with connect_to_office(None, self.folder) as link:
            return {
                each.name: each.ready + (each.held or 0) for each in link.all_queues() if each.name.startswith(OFFERS)
            }

    def operators(self) -> tuple[str, ...]:
        return ("--master-dir", str(self.folder))

    @abstractmethod
    def close(self) -> None: ...


class OverPort(OverOffice):
    """That the master listens at. `scheme`: of the agents' URL."""

    def __init__(self, folder: Path, scheme: str, listens: str) -> None:
        super().__init__(folder, listens)
        (self.port,) = free_ports(1)
        self._scheme = scheme
        self._agents = enrolled(folder, ACCOUNT, f"{scheme}://{LOOPBACK}:{self.port}", "agent", authority=False)

    def _url(self) -> str:
        return f"{self._scheme.removesuffix('s')}://{self._listens}:{self.port}"

    def entrance(self, port: int | None = None, host: str = LOOPBACK) -> Entrance:
        return Entrance(self._agents.replace(f"@{LOOPBACK}:{self.port}", f"@{host}:{port or self.port}"))

    def close(self) -> None: ...


class OverSSH(OverOffice):
    """By an sshd on the master's machine."""

    def __init__(self, folder: Path, listens: str) -> None:
        super().__init__(folder, listens)
        self._aside = folder.with_name(f"{folder.name}-ssh")
        self._server = SSHServer(self._aside / "sshd", listens)
        self.port = self._server.port
        self._clients: dict[tuple[int, str], SSHClient] = {}
        accounts.add(folder / ACCOUNTS_FILE, ACCOUNT, ssh=True)
        self._server.start()

    def _url(self) -> str:
        return "ssh:"

    def entrance(self, port: int | None = None, host: str = LOOPBACK) -> Entrance:
        client = self._clients.get((port or self.port, host))
        if client is None:
            folder = self._aside / f"client-{len(self._clients)}"
            client = self._clients[port or self.port, host] = SSHClient(folder, self._server, port, host)
            line = authorized_keys.line(ACCOUNT, self.folder, authorized_keys.public_key(client.public))
            with self._server.authorized.open("a") as file:
                file.write(f"{line}\n")
        return Entrance(f"ssh://{HOST}/{ACCOUNT}", client.environment)

    def close(self) -> None:
        self._server.stop()


def office(transport: str, folder: Path, listens: str = LOOPBACK) -> OverOffice:
    """To a master in that folder, as `--transport` calls it."""
    scheme = WIRES[transport]
    return OverSSH(folder, listens) if scheme == "ssh" else OverPort(folder, scheme, listens)
