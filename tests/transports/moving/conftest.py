"""A master, agents with accounts of their own, a RabbitMQ and the master's own door: all that a fleet moves between."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from contracts.operations.toml_file import read_toml
from contracts.testing.rabbitmq.node import USER, RabbitMQNode
from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.cli import main
from tests.buildbot.conftest import master_database as master_database
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.ssh import HOST, SSHClient, SSHServer
from tests.harness.waiting import wait_for


class Places:
    """`rabbitmq` and `office`: as the master's Broker has them. `accounts`: folders with the agents' files for each.

    `other`: what the second place is, a wire to the master itself or another RabbitMQ.
    """

    def __init__(
        self, folder: Path, nodes: dict[str, RabbitMQNode], database: Path, agents: tuple[str, ...], other: str
    ) -> None:
        """`nodes`: of the places that are a RabbitMQ."""
        self.folder = folder
        self._nodes = nodes
        self._database = database
        self.names = agents
        self.other = other
        self.master_folder = folder / "master"
        self.master_folder.mkdir()
        self.accounts = {"rabbitmq": folder / "at-rabbitmq", "office": folder / "at-office"}
        for made in self.accounts.values():
            made.mkdir(mode=0o700)
        #: as the operator who may do all there
        self._operators = {place: node.vhost_url("/") for place, node in nodes.items()}
        self.rabbitmq = self._enroll_at_rabbitmq("rabbitmq")
        #: variables of each agent
        self._environments: dict[str, dict[str, str]] = {name: {} for name in agents}
        self._sshd: SSHServer | None = None
        if other == "rabbitmq":
            self.office = self._enroll_at_rabbitmq("office")
        elif other == "ssh":
            self.office = "ssh:"
            self._enroll_by_ssh()
        else:
            (port,) = free_ports(1)
            self.office = f"{other}://127.0.0.1:{port}"
            scheme = {"amp": "amps"}.get(other, other)
            for name in agents:
                self._enroll_here(name, "--broker-url", f"{scheme}://127.0.0.1:{port}")
        self.agents: list[Agent] = []
        self.master: BuildMaster | None = None

    def _enroll_at_rabbitmq(self, place: str) -> str:
        """All agents, and the master, whose URL it returns."""
        url = self._operators[place]
        management = self._nodes[place].management_url
        where = ("--broker-url", f"amqp://{url.rpartition('@')[2]}", "--management-url", management)
        variables = {"MASTER_BRIDGE_URL": url}
        for name in self.names:
            self._enroll(name, *where, output=self.accounts[place] / f"{name}.toml", variables=variables)
        file = self.folder / f"m1-{place}.url"
        self._enroll("m1", *where, "--as", "master", output=file, variables=variables)
        return file.read_text().strip()

    def _enroll_here(self, name: str, *options: str) -> str:
        where = ("--master-dir", str(self.master_folder))
        return self._enroll(name, *where, *options, output=self.accounts["office"] / f"{name}.toml", variables={})

    def _enroll_by_ssh(self) -> None:
        self._sshd = SSHServer(self.folder / "sshd")
        for name in self.names:
            client = SSHClient(self.folder / f"ssh-{name}", self._sshd)
            url = f"ssh://{getpass.getuser()}@{HOST}"
            told = self._enroll_here(name, "--ssh-key", str(client.public), "--broker-url", url)
            (line,) = [line for line in told.splitlines() if line.startswith("command=")]
            with self._sshd.authorized.open("a") as file:
                file.write(line + "\n")
            self._environments[name] = client.environment
        self._sshd.start()

    def _enroll(self, name: str, *options: str, output: Path, variables: dict[str, str]) -> str:
        found = CliRunner().invoke(main, ["enroll", name, "--output", str(output), *options], env=variables)
        assert found.exit_code == 0, found.output
        return found.output

    def make_master(self, config: str, url: str, **settings: Any) -> BuildMaster:
        self.master = BuildMaster(self.master_folder, config, url=url, **settings)
        self.master.create(self._database)
        self.master.start()
        self.master.wait_linked()
        return self.master

    def make_agent(self, name: str, place: str = "rabbitmq", **settings: Any) -> Agent:
        table = read_toml(self.accounts[place] / f"{name}.toml")
        environment = self._environments[name]
        agent = Agent(self.folder / name, str(table["amqp_url"]), name=name, environment=environment, **settings)
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
        if at in self._operators:
            where = {"MASTER_BRIDGE_URL": self._operators[at]}
        found = CliRunner().invoke(main, arguments, env={"COLUMNS": "200", **where})
        if expect is not None:
            assert found.exit_code == expect, (arguments, found.output, found.exception)
        return found

    def move(self, *agents: str, to: str, expect: int = 0) -> Result:
        """`master-bridge move AGENTS`, from the one place to the other."""
        there = str(self.master_folder)
        if to in self._operators:
            file = self.folder / "operator.url"
            file.write_text(self._operators[to])
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
        if self._sshd is not None:
            self._sshd.stop()
        self._nodes["rabbitmq"].ctl("eval", _forget(*self.names, "m1"))


def _forget(*users: str) -> str:
    """The next test's node is this one, with nothing in it."""
    names = ",".join(f'<<"{name}">>' for name in users)
    all_of_it = '<<".*">>, <<".*">>, <<".*">>'
    return (
        f'lists:foreach(fun(U) -> rabbit_auth_backend_internal:delete_user(U, <<"tests">>) end, [{names}]),'
        'rabbit_vhost:delete(<<"/">>, <<"tests">>), ok = rabbit_vhost:add(<<"/">>, <<"tests">>),'
        f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"/">>, {all_of_it}, <<"tests">>).'
    )


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """With accounts of its own, and the API that makes them."""
    with RabbitMQNode(tmp_path_factory.mktemp("rabbitmq"), plugins=("rabbitmq_management",)) as node:
        yield node


@pytest.fixture
def another(tmp_path: Path) -> Iterator[RabbitMQNode]:
    """As `managed`."""
    with RabbitMQNode(tmp_path / "another", plugins=("rabbitmq_management",)) as node:
        yield node


@pytest.fixture
def make_places(
    request: pytest.FixtureRequest, tmp_path: Path, master_database: Path, managed: RabbitMQNode
) -> Iterator[Callable[[str], Places]]:
    """`make_places("amp")`: RabbitMQ and, for the second place, what is named."""
    all_of_them: list[Places] = []

    def make(other: str) -> Places:
        nodes = {"rabbitmq": managed}
        if other == "rabbitmq":
            nodes["office"] = request.getfixturevalue("another")
        all_of_them.append(Places(tmp_path, nodes, master_database, ("a1", "a2", "a3", "a4"), other))
        return all_of_them[-1]

    yield make
    for made in all_of_them:
        made.end()


@pytest.fixture
def places(make_places: Callable[[str], Places]) -> Places:
    return make_places("amp")
