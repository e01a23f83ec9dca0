"""Which broker the demo uses: the one it is given, one in a container where Docker answers, else a private node."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import answers_amqp, free_ports
from contracts.testing.rabbitmq.program import BrokerMissing, NodeError, server_command
from examples.demo.errors import DemoError
from master_bridge.link.office import accounts
from master_bridge.link.office.certificates import server_options

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = "examples/demo/broker.yml"
#: As in that file.
COMPOSE_URL = "amqp://{user}:{password}@127.0.0.1:{port}/"
COMPOSE_TIMEOUT = 120.0
#: Of all agents, where the master listens itself.
ACCOUNT = "agents"


@dataclass(frozen=True, kw_only=True)
class Broker:
    #: what the master is told
    url: str
    #: for people, without a password
    description: str
    #: what agents are told once the master's folder is there, where that is something else
    of_agents: Callable[[Path], str] | None = None

    def agents_url(self, master: Path) -> str:
        """`master`: the master's folder."""
        return self.url if self.of_agents is None else self.of_agents(master)


def no_broker() -> Broker:
    """The master listens for its agents itself, with TLS."""
    (port,) = free_ports(1)

    def of_agents(master: Path) -> str:
        token = accounts.add(master / accounts.ACCOUNTS_FILE, ACCOUNT)
        _options, fingerprint = server_options(master, None)
        return f"amps://{ACCOUNT}:{token}@127.0.0.1:{port}?fingerprint=sha256:{fingerprint}"

    return Broker(
        url=f"amp://127.0.0.1:{port}", description=f"none: agents come to the master, port {port}", of_agents=of_agents
    )


@contextmanager
def open_broker(folder: Path, say: Callable[[str], None]) -> Iterator[Broker]:
    """A broker that answers, stopped afterwards if it was started here. `folder`: where a private node keeps its data.

    Raises `DemoError`.
    """
    if given := os.environ.get("AMQP_URL"):
        yield Broker(url=given, description="the broker of AMQP_URL")
        return
    if docker_engine_answers():
        compose = compose_command()
        was_up = answers_amqp(broker_port())
        if compose and (url := _compose_up(compose, say)):
            try:
                yield Broker(url=url, description="RabbitMQ in a container")
            finally:
                if not was_up:
                    _run([*compose, "down", "--volumes"])
            return
    node = _private_node(folder, say)
    try:
        yield Broker(url=node.url, description=f"a private RabbitMQ node, 127.0.0.1:{node.port}")
    finally:
        node.stop()


def docker_engine_answers() -> bool:
    """True when there is an engine, not only the client program."""
    return shutil.which("docker") is not None and _run(["docker", "info"]).returncode == 0


def compose_command() -> list[str] | None:
    if _run(["docker", "compose", "version"]).returncode == 0:
        return ["docker", "compose", f"--file={COMPOSE_FILE}"]
    return ["docker-compose", f"--file={COMPOSE_FILE}"] if shutil.which("docker-compose") else None


def broker_port() -> int:
    """Port of the compose file's broker on loopback, as its file has it."""
    return int(os.environ.get("BROKER_PORT", "5672"))


def _compose_up(compose: list[str], say: Callable[[str], None]) -> str | None:
    """URL of the compose file's broker; None, with the reason said, when it does not come up."""
    say(f"starting the broker of {COMPOSE_FILE}")
    up = _run([*compose, "up", "-d", "broker"])
    if up.returncode:
        say(f"{' '.join(compose)} could not start the broker, so a private node is used: {up.stderr.strip()[-500:]}")
        return None
    port = broker_port()
    deadline = time.monotonic() + COMPOSE_TIMEOUT
    while not answers_amqp(port):
        if time.monotonic() > deadline:
            _run([*compose, "down", "--volumes"])
            raise DemoError(
                f"the compose file's broker does not answer on port {port}: {' '.join(compose)} logs broker"
            )
        time.sleep(0.2)
    user, password = (os.environ.get(name, "buildbot") for name in ("BROKER_USER", "BROKER_PASSWORD"))
    return COMPOSE_URL.format(user=user, password=password, port=port)


def _private_node(folder: Path, say: Callable[[str], None]) -> RabbitMQNode:
    try:
        server_command()
    except BrokerMissing:
        # Says itself, on standard error, what it installs or what the user has to.
        if subprocess.run([str(ROOT / "deploy/dev/ensure-broker.sh")], cwd=ROOT).returncode:
            raise DemoError("there is no broker: give one in AMQP_URL, or install RabbitMQ as said above") from None
    say("starting a private RabbitMQ node")
    try:
        return RabbitMQNode(folder).start()
    except NodeError as error:
        raise DemoError(str(error)) from None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
