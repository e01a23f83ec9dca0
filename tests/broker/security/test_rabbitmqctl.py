"""`master-bridge enroll --rabbitmqctl`: where there is no management API."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from contracts.testing.rabbitmq.program import server_command
from master_bridge.cli import main
from tests.broker.security.conftest import SecureNode
from worker_agent.program.loading import load


@pytest.mark.long  # with `make test` the management API makes accounts
def test_an_account_is_made_renewed_and_removed(secure: SecureNode, amqp_url: str, tmp_path: Path) -> None:
    """Its password works, its permissions hold, `--renew` changes the password, `revoke` ends it."""
    *prefix, server = server_command()
    ctl = shlex.join([*prefix, str(Path(server).with_name("rabbitmqctl"))])
    environment = {key: value for key, value in secure.node._environment().items() if os.environ.get(key) != value}
    environment["MASTER_BRIDGE_AMQP_URL"] = amqp_url

    def run(*arguments: str) -> None:
        result = CliRunner().invoke(main, [*arguments, "--rabbitmqctl", ctl], env=environment)
        assert result.exit_code == 0, result.output

    def connect(config: Path) -> pika.BlockingConnection:
        secret = load({}, config).amqp_url
        assert secret is not None
        return pika.BlockingConnection(pika.URLParameters(secret.get_secret_value()))

    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    run("enroll", "ctl-worker", "--output", str(first))
    connection = connect(first)
    with pytest.raises(ChannelClosedByBroker, match="403"):
        connection.channel().queue_declare("cap.any", durable=True)
    run("enroll", "ctl-worker", "--renew", "--output", str(second))
    connect(second).close()
    with pytest.raises(AMQPConnectionError):
        connect(first)
    run("revoke", "ctl-worker")
    with pytest.raises(AMQPConnectionError):
        connect(second)
