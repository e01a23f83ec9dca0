"""What is between a master's link and its agents': one class a transport, and the table of all of them.

A new transport is one entry in `MIDDLES`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from contracts.testing.rabbitmq.node import USER, RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from contracts.topology import key_word
from master_bridge.link.office import accounts
from master_bridge.link.office.accounts import ACCOUNTS_FILE
from master_bridge.link.office.enrolling import enrolled
from master_bridge.ssh import authorized_keys
from tests.faults.laboratory.proxy import Proxy
from tests.harness.ssh import HOST, SSHClient, SSHServer
from tests.harness.ways import Entrance

MASTER = "m1"


class Middle(Protocol):
    """One master's and its agents' way to each other, from its making to `close`."""

    #: the master's
    url: str
    #: the agents'; both have an account of their own where the transport has accounts
    agents_url: str
    #: their accounts' names, as each side is told of the other's
    master_user: str
    agents_user: str

    def cut(self) -> None:
        """All agents' connections end without a word; new ones are taken."""

    def freeze(self) -> None:
        """Nothing of the agents gets through any more, in either direction, and nobody is told."""

    def heal(self) -> None:
        """It does again."""

    def account(self, user: str) -> Entrance:
        """For agents of another account, which is made now."""

    def close(self) -> None:
        """Nothing is left of it."""


class ByProxy:
    """Agents come by way of a proxy to a port on loopback."""

    def __init__(self, port: int) -> None:
        self._proxy = Proxy(port)

    def cut(self) -> None:
        self._proxy.reset()

    def freeze(self) -> None:
        self._proxy.freeze()

    def heal(self) -> None:
        self._proxy.heal()

    def close(self) -> None:
        self._proxy.close()


class RabbitMQ(ByProxy):
    """A virtual host of a real node."""

    master_user = agents_user = USER

    def __init__(self, request: pytest.FixtureRequest) -> None:
        node: RabbitMQNode = request.getfixturevalue("node")
        super().__init__(node.port)
        self.url = request.getfixturevalue("amqp_url")
        self.agents_url = self._proxy.url(self.url)

    def account(self, user: str) -> Entrance:
        raise NotImplementedError("accounts of RabbitMQ have tests of their own")


class PostOffice(ByProxy):
    """In the master's own process. `scheme`: of the agents' URL."""

    master_user, agents_user = key_word(MASTER), "agents"

    def __init__(self, request: pytest.FixtureRequest, scheme: str) -> None:
        (port,) = free_ports(1)
        super().__init__(port)
        folder: Path = request.getfixturevalue("tmp_path")
        self.url = f"{scheme.removesuffix('s')}://127.0.0.1:{port}"
        self._folder, self._place = folder, f"{scheme}://127.0.0.1:{self._proxy.port}"
        self.agents_url = self.account(self.agents_user).url

    def account(self, user: str) -> Entrance:
        return Entrance(enrolled(self._folder, user, self._place, "agent", authority=False))


class SSH(ByProxy):
    """The system's ssh to an sshd on the master's machine."""

    url = "ssh:"
    master_user, agents_user = key_word(MASTER), "agents"

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._folder: Path = request.getfixturevalue("tmp_path")
        self._server = SSHServer(self._folder / "sshd")
        super().__init__(self._server.port)
        entrance = self.account(self.agents_user)
        self.agents_url = entrance.url
        for name, value in entrance.environment.items():
            request.getfixturevalue("monkeypatch").setenv(name, value)
        self._server.start()

    def account(self, user: str) -> Entrance:
        client = SSHClient(self._folder / f"ssh-{user}", self._server, self._proxy.port)
        accounts.add(self._folder / ACCOUNTS_FILE, user, ssh=True)
        line = authorized_keys.line(user, self._folder, authorized_keys.public_key(client.public))
        with self._server.authorized.open("a") as file:
            file.write(f"{line}\n")
        return Entrance(f"ssh://{HOST}/{user}", client.environment)

    def close(self) -> None:
        super().close()
        self._server.stop()


MIDDLES: dict[str, Callable[[pytest.FixtureRequest], Middle]] = {
    "rabbitmq": RabbitMQ,
    "amp": lambda request: PostOffice(request, "amps"),
    "zmq": lambda request: PostOffice(request, "zmq"),
    "ssh": SSH,
}
