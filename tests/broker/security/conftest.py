"""One broker with TLS and the management API for all tests of this folder, and accounts as `enroll` makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.cli import main
from master_bridge.operating.certificates import Made, broker_settings, make
from tests.broker.agent.conftest import open_master, start_agent  # noqa: F401  # fixtures
from tests.harness.vhosts import Vhosts


class SecureNode:
    """`node` listens without TLS on `node.port` and with TLS on `tls_port`."""

    def __init__(self, node: RabbitMQNode, made: Made, tls_port: int) -> None:
        self.node = node
        self.made = made
        self.tls_port = tls_port


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Permissions are the broker's: all of this folder runs on each generation."""
    for item in items:
        if item.nodeid.startswith("tests/broker/security/"):
            item.add_marker(pytest.mark.brokers)


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureNode]:
    folder = tmp_path_factory.mktemp("secure")
    made = make(folder / "tls", ["localhost", "127.0.0.1"], ["bridge", "agent"])
    (port,) = free_ports(1)
    settings = broker_settings(made)
    del settings["listeners.tcp"], settings["listeners.ssl.default"]
    settings["listeners.ssl.1"] = f"127.0.0.1:{port}"
    node = RabbitMQNode(folder / "node", config=settings, plugins=("rabbitmq_management",))
    with node:
        yield SecureNode(node, made, port)


@pytest.fixture(scope="session")
def _secure_vhosts(secure: SecureNode) -> Vhosts:
    return Vhosts(secure.node)


@pytest.fixture
def amqp_url(secure: SecureNode, _secure_vhosts: Vhosts) -> Iterator[str]:
    """An administrator's URL of a fresh vhost, without TLS."""
    vhost = _secure_vhosts.take()
    yield secure.node.vhost_url(vhost)
    _secure_vhosts.give_back(vhost)


@pytest.fixture
def tls_url(secure: SecureNode, amqp_url: str) -> str:
    """The same over TLS, without user and password."""
    return f"amqps://localhost:{secure.tls_port}/{amqp_url.rpartition('/')[2]}"


@pytest.fixture
def enroll(secure: SecureNode, amqp_url: str, tls_url: str, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`master-bridge enroll NAME OPTIONS`; the file it wrote. The account goes with the test."""
    variables = {"MASTER_BRIDGE_AMQP_URL": amqp_url, "MASTER_BRIDGE_MANAGEMENT_URL": secure.node.management_url}
    names: list[str] = []

    def run(name: str, *options: str) -> Path:
        path = tmp_path / f"{name}.conf"
        result = CliRunner().invoke(
            main,
            ["enroll", name, "--output", str(path), "--broker-url", tls_url, "--worker-ca", str(secure.made.ca),
             *options],
            env=variables,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        names.append(name)
        return path

    yield run
    for name in names:
        CliRunner().invoke(main, ["revoke", name], env=variables)  # a test may have revoked it


@pytest.fixture
def master_bridge(secure: SecureNode, amqp_url: str) -> Callable[..., Awaitable[Result]]:
    """Runs `master-bridge ARGUMENTS` in a thread, with the management API in its environment."""

    async def run(*arguments: str, **environment: str) -> Result:
        variables = {
            "MASTER_BRIDGE_AMQP_URL": amqp_url,
            "MASTER_BRIDGE_MANAGEMENT_URL": secure.node.management_url,
            "COLUMNS": "200",
            **environment,
        }
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, env=variables)

    return run
