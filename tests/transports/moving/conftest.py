"""A master, agents with accounts of their own, a RabbitMQ and the master's own door: all that a fleet moves between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contracts.operations.toml_file import read_toml
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.cli import main
from tests.buildbot.conftest import master_database as master_database
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for


class Places:
    """`rabbitmq` and `office`: as the master's Broker has them. `accounts`: folders with the agents' files for each."""

    def __init__(self, folder: Path, node: RabbitMQNode, database: Path, agents: tuple[str, ...]) -> None:
        self.folder = folder
        self._node = node
        self._database = database
        self.names = agents
        (self._port,) = free_ports(1)
        self.office = f"amp://127.0.0.1:{self._port}"
        self.master_folder = folder / "master"
        self.master_folder.mkdir()
        self.accounts = {"rabbitmq": folder / "at-rabbitmq", "office": folder / "at-office"}
        for made in self.accounts.values():
            made.mkdir(mode=0o700)
        broker = node.vhost_url("/").rpartition("@")[2]
        at_rabbitmq = ("--broker-url", f"amqp://{broker}", "--management-url", node.management_url)
        at_office = ("--master-dir", str(self.master_folder), "--broker-url", f"amps://127.0.0.1:{self._port}")
        self._rabbitmq_file = folder / "m1.url"
        self.enroll("m1", *at_rabbitmq, "--as", "master", output=self._rabbitmq_file)
        for name in agents:
            self.enroll(name, *at_rabbitmq, output=self.accounts["rabbitmq"] / f"{name}.toml")
            self.enroll(name, *at_office, output=self.accounts["office"] / f"{name}.toml")
        self.agents: list[Agent] = []
        self.master: BuildMaster | None = None

    @property
    def rabbitmq(self) -> str:
        return self._rabbitmq_file.read_text().strip()

    def enroll(self, name: str, *options: str, output: Path) -> None:
        variables = {} if "--master-dir" in options else {"MASTER_BRIDGE_URL": self._node.vhost_url("/")}
        found = CliRunner().invoke(main, ["enroll", name, "--output", str(output), *options], env=variables)
        assert found.exit_code == 0, found.output

    def make_master(self, config: str, url: str, **settings: Any) -> BuildMaster:
        self.master = BuildMaster(self.master_folder, config, url=url, **settings)
        self.master.create(self._database)
        self.master.start()
        self.master.wait_linked()
        return self.master

    def make_agent(self, name: str, place: str = "rabbitmq", **settings: Any) -> Agent:
        table = read_toml(self.accounts[place] / f"{name}.toml")
        agent = Agent(self.folder / name, str(table["amqp_url"]), name=name, **settings)
        self.agents.append(agent)
        return agent.start()

    def serve(self, url: str, moving_from: str | None = None) -> None:
        """The master is at `url` from now on, and at the place that is left."""
        assert self.master is not None
        before = self.master.log().count("event=amqp.link_up")
        self.master.url = url
        self.master.broker = "" if moving_from is None else f"moving_from={moving_from!r}"
        self.master.reconfigure(self.master.config)
        wait_for(
            lambda: self.master is not None and self.master.log().count("event=amqp.link_up") > before,
            60,
            lambda: f"the master is at {url}",
        )

    def call(self, *arguments: str, at: str, expect: int | None = 0) -> Result:
        """`master-bridge ARGUMENTS` as an operator at one of the two places."""
        where = {"MASTER_BRIDGE_MASTER_DIR": str(self.master_folder)}
        if at == "rabbitmq":
            where = {"MASTER_BRIDGE_URL": self._node.vhost_url("/")}
        found = CliRunner().invoke(main, arguments, env={"COLUMNS": "200", **where})
        if expect is not None:
            assert found.exit_code == expect, (arguments, found.output, found.exception)
        return found

    def move(self, *agents: str, to: str, expect: int = 0) -> Result:
        """`master-bridge move AGENTS`, from the one place to the other."""
        there = str(self.master_folder)
        if to == "rabbitmq":
            file = self.folder / "operator.url"
            file.write_text(self._node.vhost_url("/"))
            file.chmod(0o600)
            there = str(file)
        return self.call(
            "move", *agents, "--accounts", str(self.accounts[to]), "--to", there,
            at="office" if to == "rabbitmq" else "rabbitmq", expect=expect,
        )  # fmt: skip

    def end(self) -> None:
        for agent in self.agents:
            agent.stop_at_once()
        if self.master is not None:
            self.master.stop()


@pytest.fixture
def places(tmp_path: Path, master_database: Path) -> Iterator[Places]:  # the fixture
    with RabbitMQNode(tmp_path / "rabbitmq", plugins=("rabbitmq_management",)) as node:
        made = Places(tmp_path, node, master_database, ("a1", "a2", "a3", "a4"))
        yield made
        made.end()
