"""A broker that starts with the definitions of `master-bridge trial-fleet`: what `enroll` bounds is bounded there."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner
from pika.exceptions import AMQPConnectionError

from contracts import topology
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.cli import main
from master_bridge.management import limits
from worker_agent.program.loading import load

#: Name and content of the operator policy that holds for a worker's queue.
EFFECTIVE = """{ok, Q} = rabbit_amqqueue:lookup({resource, <<"/">>, queue, <<"agent.w1.i.n">>}),
{rabbit_policy:name_op(Q), rabbit_policy:effective_definition(Q)}."""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RabbitMQNode, Path, int]]:
    """The node, the folder, the port of TLS."""
    folder = tmp_path_factory.mktemp("trial")
    made = CliRunner().invoke(main, ["trial-fleet", str(folder / "t"), "--host", "localhost", "--worker", "w1"])
    assert made.exit_code == 0, made.output
    lines = (folder / "t/broker/security.conf").read_text().splitlines()
    settings = dict(line.split(" = ", 1) for line in lines if not line.startswith("listeners."))
    (port,) = free_ports(1)
    settings["listeners.ssl.1"] = f"127.0.0.1:{port}"
    with RabbitMQNode(folder / "node", config=settings) as node:
        yield node, folder / "t", port


def connect(folder: Path, port: int) -> Any:
    url = load({}, folder / "w1/worker-agent.toml").amqp_url
    assert url is not None
    parameters = pika.URLParameters(url.get_secret_value())
    parameters.port = port
    context = ssl.create_default_context(cafile=str(folder / "w1/ca.pem"))
    parameters.ssl_options = pika.SSLOptions(context, "localhost")
    return pika.BlockingConnection(parameters)


@pytest.mark.long
def test_workers_have_the_bounds_of_enrolled_ones(trial: tuple[RabbitMQNode, Path, int]) -> None:
    """Connections; what lies in their queues; the exchanges that they may not make. Master and operator have none."""
    node, folder, port = trial
    listed = node.ctl("-q", "list_user_limits", "--user", "w1")
    for name, value in limits.limits_json().items():
        assert f'"{name}":{value}' in listed
    for other in ("m1", "operator"):
        assert "max-connections" not in node.ctl("list_user_limits", "--user", other)
    opened = []
    try:
        for _ in range(limits.MAX_CONNECTIONS):
            opened.append(connect(folder, port))
        with pytest.raises(AMQPConnectionError):
            connect(folder, port)
        channel = opened[0].channel()
        channel.queue_declare("agent.w1.i.n", durable=True)
        channel.queue_bind("agent.w1.i.n", topology.CONTROL, topology.BROADCAST)
        found = node.ctl("eval", EFFECTIVE)
        assert limits.POLICY_NAME in found
        for name, value in limits.policy_json().items():
            assert re.search(f'<<"{name}">>(,| => ){value}\\b', found), found  # a list or a map, by version
    finally:
        for each in opened:
            each.close()
