"""What `enroll` bounds and what `revoke` takes away, through the management API and through rabbitmqctl."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from contracts import topology
from contracts.testing.rabbitmq.program import server_command
from master_bridge.cli import main
from master_bridge.management import limits
from master_bridge.management.client import Management
from tests.broker.security.conftest import SecureNode
from tests.harness import broker_state
from tests.harness.waiting import wait_for
from worker_agent.program.loading import load

Run = Callable[..., str]


#: Each call of it starts an Erlang machine.
RABBITMQCTL = pytest.param("rabbitmqctl", marks=pytest.mark.long)


@pytest.fixture(params=["management", RABBITMQCTL])
def run(request: pytest.FixtureRequest, secure: SecureNode, amqp_url: str) -> Run:
    """`master-bridge ARGUMENTS`; its output."""
    environment = {"MASTER_BRIDGE_AMQP_URL": amqp_url, "MASTER_BRIDGE_MANAGEMENT_URL": secure.node.management_url}
    options: tuple[str, ...] = ()
    if request.param == "rabbitmqctl":
        *prefix, server = server_command()
        options = ("--rabbitmqctl", shlex.join([*prefix, str(Path(server).with_name("rabbitmqctl"))]))
        own = secure.node._environment().items()
        environment |= {key: value for key, value in own if os.environ.get(key) != value}

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(main, [*arguments, *options], env=environment)
        assert result.exit_code == 0, result.output
        return result.output

    return call


def connection_of(config: Path) -> Any:
    secret = load({}, config).amqp_url
    assert secret is not None
    return pika.BlockingConnection(pika.URLParameters(secret.get_secret_value()))


@pytest.fixture
def shared(amqp_url: str) -> Any:
    """An administrator's channel; the exchanges are there, and a queue of another worker's whose name is longer."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for exchange in topology.EXCHANGES:
            channel.exchange_declare(exchange.name, exchange.type.value, durable=True)
        channel.queue_declare("agent.mallory2.i.n", exclusive=True)
        channel.queue_declare("cap.any", durable=True)
        yield channel


def test_revoke_takes_away_all_that_the_account_made(
    run: Run, shared: Any, secure: SecureNode, amqp_url: str, tmp_path: Path
) -> None:
    """Durable queues and quorum queues, exchanges, names like code: with their bindings; and nothing of others."""
    run("enroll", "mallory", "--output", str(tmp_path / "file"))
    connection = connection_of(tmp_path / "file")
    channel = connection.channel()
    for name, arguments in (
        ("agent.mallory.i.n", {}),
        ("agent.mallory.i.quorum", {"x-queue-type": "quorum"}),
        ('agent.mallory.i.">>), halt(). %', {}),
        ("agent.mallory.ü/\t%2F", {}),
    ):
        channel.queue_declare(name, durable=True, arguments=arguments)
        channel.queue_bind(name, topology.FLEET, topology.CATALOGUE_KEY)
    channel.queue_declare("agent.mallory.i.own", exclusive=True)
    channel.exchange_declare("agent.mallory.exchange", "topic", durable=True)
    channel.exchange_bind("agent.mallory.exchange", topology.FLEET, topology.CATALOGUE_KEY)
    run("revoke", "mallory")
    vhost = amqp_url.rpartition("/")[2]
    assert sorted(broker_state.queues(secure.node, vhost)) == ["agent.mallory2.i.n", "cap.any"]
    assert "mallory" not in secure.node.ctl("-q", "list_bindings", "-p", vhost).replace("mallory2", "")
    assert "mallory" not in secure.node.ctl("-q", "list_exchanges", "-p", vhost)
    with pytest.raises(AMQPConnectionError):
        connection_of(tmp_path / "file")
    with pytest.raises((AMQPConnectionError, ChannelClosedByBroker)):
        connection.channel()


def test_an_enrolled_worker_has_bounds(
    run: Run, shared: Any, secure: SecureNode, amqp_url: str, tmp_path: Path
) -> None:
    """Connections and channels, and what lies in its own queues; an operator policy leaves a site's policies alone."""
    run("enroll", "mallory", "--output", str(tmp_path / "file"))
    opened = []
    try:
        for _ in range(limits.MAX_CONNECTIONS):
            opened.append(connection_of(tmp_path / "file"))
        with pytest.raises(AMQPConnectionError):
            connection_of(tmp_path / "file")
        opened[0].channel().queue_declare("agent.mallory.i.n", durable=True, arguments={"x-expires": 2**31})
        vhost = amqp_url.rpartition("/")[2]
        with Management(secure.node.management_url) as management:

            def policy(queue: str) -> Any:
                return (management.get("queues", vhost, queue) or {}).get("effective_policy_definition")

            wait_for(
                lambda: policy("agent.mallory.i.n") == limits.policy_json(), 60, lambda: policy("agent.mallory.i.n")
            )
            assert not policy("cap.any")
    finally:
        for each in opened:
            each.close()
        run("revoke", "mallory")


def test_an_enrolled_worker_finds_the_exchanges(run: Run, secure: SecureNode, amqp_url: str, tmp_path: Path) -> None:
    """In a vhost that no master has seen: it may not make them, and would fail at its links for as long. One that is
    there stays as it is."""
    vhost = amqp_url.rpartition("/")[2]

    def kinds() -> dict[str, str]:
        listed = secure.node.ctl("-q", "list_exchanges", "-p", vhost, "name", "type", "--no-table-headers")
        lines = [line.split("\t") for line in listed.splitlines()]
        return {name: kind for name, kind in lines if name.startswith("bb.")}

    run("enroll", "carol", "--output", str(tmp_path / "one"))
    assert kinds() == {exchange.name: exchange.type.value for exchange in topology.EXCHANGES}
    run("enroll", "carol", "--renew", "--output", str(tmp_path / "two"))
    connection = connection_of(tmp_path / "two")
    channel = connection.channel()
    channel.queue_declare("agent.carol.i.n", exclusive=True)
    channel.queue_bind("agent.carol.i.n", topology.CONTROL, topology.BROADCAST)
    connection.close()
    run("revoke", "carol")
