"""`master-bridge doctor` and `worker-agent doctor`: what they see of a real broker, and what they say to change."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from click.testing import CliRunner

from contracts.rabbitmq.product import parse_version
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.topology import EXCHANGES
from master_bridge.cli import main
from tests.broker.agent.conftest import OpenMaster, StartAgent
from tests.broker.operators.conftest import RunCommand


def verdicts(text: str) -> dict[str, tuple[str, str]]:
    """check -> verdict and what was seen; the worst of several."""
    order = ("pass", "warn", "fail")
    found: dict[str, tuple[str, str]] = {}
    for finding in json.loads(text):
        before = found.get(finding["check"])
        if before is None or order.index(finding["verdict"]) > order.index(before[0]):
            found[finding["check"]] = (finding["verdict"], finding["seen"])
        assert finding["remedy"] or finding["verdict"] == "pass", finding
    return found


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[RabbitMQNode]:
    with RabbitMQNode(tmp_path / "managed", plugins=("rabbitmq_management",)) as node:
        yield node


def test_a_broker_with_mistakes(managed: RabbitMQNode) -> None:
    """The default consumer_timeout, a policy that drops offers, a vhost limit, no master: each is found and named."""
    managed.ctl("set_policy", "tidy", "^cap", '{"message-ttl":1000}', "--apply-to", "queues")
    managed.ctl("set_vhost_limits", '{"max-connections":100}')
    environment = {"MASTER_BRIDGE_AMQP_URL": managed.url, "MASTER_BRIDGE_MANAGEMENT_URL": managed.management_url}
    environment |= {key: value for key, value in managed._environment().items() if key not in os.environ}
    server = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
    ctl = str(server) if server.exists() else "rabbitmqctl"
    result = CliRunner().invoke(
        main, ["doctor", "--json", "--rabbitmqctl", ctl], env={**environment, "HOME": str(managed.folder)}
    )
    found = verdicts(result.output)
    assert result.exit_code == 1
    version = managed.ctl("version").split()[-1]
    assert found["broker version"] == ("pass", f"RabbitMQ {version}")
    old = parse_version(version) < (3, 12)
    assert found["consumer_timeout"][0] == ("warn" if old else "pass")
    assert found["priorities"][0] == found["shared prefetch"][0] == "pass"
    assert found["message size"][0] == "pass"
    assert found["policies"] == ("fail", "tidy sets message-ttl on cap.*")
    assert found["limits"] == ("warn", "vhost /: max-connections 100")
    assert found["queues"] == ("warn", f"not there: {', '.join(e.name for e in EXCHANGES)}, parked, dead")
    assert found["alarms"][0] in ("pass", "warn")
    assert found["clock"][0] == "pass"


async def test_a_fleet_in_good_order(
    start_agent: StartAgent, open_master: OpenMaster, master_bridge: RunCommand, amqp_url: str
) -> None:
    """With a master's queues and an agent everything passes but what was not looked at; the agent's doctor agrees."""
    master = await open_master("any", "gtk")
    agent = start_agent()
    await master.wait_for_consumers("any", 1)
    found = verdicts((await master_bridge("doctor", "--json")).output)
    assert found["login"][0] == found["queues"][0] == found["name"][0] == found["port"][0] == found["TLS"][0] == "pass"
    assert found["clock"] == ("pass", found["clock"][1])
    assert found["fleet"] == ("warn", "0 masters and 1 agents are alive")
    assert "agents" not in found

    start_agent("copy", "--name", "agent")  # as with one configuration on two machines
    await master.wait_for_consumers("any", 2)
    twice = verdicts((await master_bridge("doctor", "--json")).output)
    assert twice["agents"] == ("warn", "2 agents are called agent")
    assert "2 agents" in (await master_bridge("doctor")).output

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker_agent", "--state", str(agent.folder / "state"), "--capability", "gtk",
        "doctor", "--json", env={"WORKER_AGENT_AMQP_URL": amqp_url, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    reading = asyncio.ensure_future(process.communicate())
    while not reading.done():
        await master.catalogue("any", "gtk", "wx")
        await asyncio.wait([reading], timeout=0.3)
    own = verdicts(reading.result()[0].decode())
    assert process.returncode == 0
    assert own["permissions"][0] == "pass"
    assert own["columns"] == ("pass", "qualifies for 2 of 3: any, gtk")


def test_a_broker_that_is_not_there() -> None:
    """A port that nobody listens on: one failure that says so, and nothing after it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"amqp://guest:secret@127.0.0.1:{unused.getsockname()[1]}/"
        result = CliRunner().invoke(main, ["doctor"], env={"MASTER_BRIDGE_AMQP_URL": url})
    assert result.exit_code == 1
    assert result.output.splitlines()[-2].startswith("fail  port")
    assert "secret" not in result.output


@pytest.mark.brokers
async def test_what_is_there_otherwise(open_master: OpenMaster, amqp_url: str) -> None:
    """An exchange of another type fails, a queue with other arguments warns; each with what differs and a remedy."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        master = await open_master("gtk")  # declares `parked`, `dead` and a column's queue in its own way
        connection.channel().exchange_delete("bb.control")
        connection.channel().exchange_declare("bb.control", "direct", durable=True)
        asking = asyncio.ensure_future(
            asyncio.to_thread(CliRunner().invoke, main, ["doctor", "--json"], env={"MASTER_BRIDGE_AMQP_URL": amqp_url})
        )
        while not asking.done():
            await master.catalogue("gtk")
            await asyncio.wait([asking], timeout=0.3)
    assert asking.result().exit_code == 1
    findings = [finding for finding in json.loads(asking.result().output) if finding["check"] == "declarations"]
    seen = {finding["seen"].split(" exists")[0]: finding for finding in findings}
    assert seen["exchange bb.control"]["verdict"] == "fail"
    assert "we ask for topic, it has direct" in seen["exchange bb.control"]["seen"]
    assert "delete the exchange" in seen["exchange bb.control"]["remedy"]
    assert {"queue dead", "queue cap.gtk"} <= seen.keys()
    for name in ("queue dead", "queue cap.gtk"):
        assert seen[name]["verdict"] == "warn"
        assert "master-bridge migrate" in seen[name]["remedy"]
