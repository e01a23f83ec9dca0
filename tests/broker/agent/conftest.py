"""Agents as processes, and scripted masters."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.testing.child import Child
from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.broker.agent.scripted_master import ScriptedMaster
from tests.harness.forking.process import Forked, forked_agent


class AgentProcess:
    """`worker-agent` as a child process, with a state folder of its own.

    `environment`: more variables; None takes one away. `prefix` runs it elsewhere. `named`: with its folder's name.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        *flags: str,
        environment: Mapping[str, str | None] = {},
        prefix: Sequence[str] = (),
        named: bool = True,
    ) -> None:
        self.folder = folder
        self.output = folder / "agent.log"
        folder.mkdir(exist_ok=True)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_AGENT_")}
        variables |= {"WORKER_AGENT_AMQP_URL": url, "WORKER_AGENT_STATE": str(folder / "state")}
        name = ("--name", folder.name) if named else ()
        kept = {key: value for key, value in {**variables, **environment}.items() if value is not None}
        arguments = [*name, "--log-level", "debug", *flags]
        self.child: Child | Forked
        if prefix:
            command = [*prefix, sys.executable, "-m", "worker_agent", *arguments]
            self.child = Child(command, output=self.output, environment=kept)
        else:
            self.child = forked_agent(arguments, environment=kept, output=self.output)

    @property
    def log(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def signal(self, number: int) -> None:
        """To the agent itself, not to its keepers."""
        os.kill(self.child.pid, number)

    def kill(self) -> None:
        """The agent's main process is gone at once."""
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()


def close_connections(node: RabbitMQNode, name: str) -> None:
    """That of the agent called `name`, by the broker."""
    node.evaluate(
        'Name = fun(P) -> lists:keyfind(<<"connection_name">>, 1, proplists:get_value(client_properties, '
        "rabbit_networking:connection_info(P, [client_properties]))) end, "
        f'Named = {{<<"connection_name">>, longstr, <<"worker-agent {name}">>}}, '
        '[rabbit_networking:close_connection(P, "test") || P <- rabbit_networking:connections(), '
        "Name(P) =:= Named]",
    )


StartAgent = Callable[..., AgentProcess]
OpenMaster = Callable[..., Awaitable[ScriptedMaster]]


@pytest.fixture
def start_agent(tmp_path: Path, amqp_url: str) -> Iterator[StartAgent]:
    """Starts agents against `amqp_url`, or the `url` given; the same name means the same state folder."""
    agents: list[AgentProcess] = []

    def start(name: str = "agent", *flags: str, url: str = amqp_url, **more: Any) -> AgentProcess:
        agents.append(AgentProcess(tmp_path / name, url, *flags, **more))
        return agents[-1]

    yield start
    for agent in agents:
        agent.child.end(signal.SIGKILL)
    for agent in agents:
        print(f"--- {agent.folder.name}\n{agent.log}")


@pytest.fixture
async def open_master(amqp_url: str) -> AsyncIterator[Callable[..., Awaitable[ScriptedMaster]]]:
    """Opens scripted masters on `amqp_url`, or on the `url` given, with the signatures given."""
    masters: list[ScriptedMaster] = []

    async def open_(*signatures: str, name: str = "m1", url: str = amqp_url) -> ScriptedMaster:
        masters.append(await ScriptedMaster(url, name).open(*signatures))
        return masters[-1]

    yield open_
    for master in masters:
        await master.close()
