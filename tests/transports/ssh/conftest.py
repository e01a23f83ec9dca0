"""A real sshd, a master that opens no port, and agents that come to it by ssh."""

from __future__ import annotations

import getpass
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.buildbot.conftest import master_database as master_database
from tests.harness.agents import Agent
from tests.harness.environment import program_environment
from tests.harness.master import BuildMaster
from tests.harness.ssh import HOST, SSHClient, SSHServer

#: The program that the tests' environment has.
BRIDGE = str(Path(sys.executable).with_name("master-bridge"))


class SSHFleet:
    """One master, one sshd on its machine, and agents with a key each."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = folder
        self._database = database
        self.server = SSHServer(folder / "sshd")
        self.clients: dict[str, SSHClient] = {}
        self._agents: list[Agent] = []
        self._master: BuildMaster | None = None

    @property
    def master_folder(self) -> Path:
        return self.folder / 'the "new" \\ master'

    def make_master(self, config: str, **settings: Any) -> BuildMaster:
        self.server.start()
        master = self._master = BuildMaster(self.master_folder, config, url="ssh:", **settings)
        master.create(self._database)
        master.start()
        return master

    def bridge(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """`master-bridge` with this master's folder."""
        command = [BRIDGE, *arguments, "--master-dir", str(self.master_folder)]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60,
            env=program_environment(), **settings,
        )  # fmt: skip

    def enroll(self, name: str, *options: str) -> SSHClient:
        """An account with a key, whose line is put where it belongs; the agent's `NAME.toml` is in the folder."""
        client = self.clients[name] = SSHClient(self.folder / f"ssh-{name}", self.server)
        url = f"ssh://{getpass.getuser()}@{HOST}"
        made = self.bridge("enroll", name, "--ssh-key", str(client.public), "--broker-url", url, *options)
        assert made.returncode == 0, made.stdout + made.stderr
        (line,) = [line for line in made.stdout.splitlines() if line.startswith("command=")]
        with self.server.authorized.open("a") as file:
            file.write(line + "\n")
        return client

    def make_agent(self, name: str = "agent", *, account: str | None = None, **settings: Any) -> Agent:
        account = account or name
        if account not in self.clients:
            self.enroll(account)
        options = ("--config", str(self.folder / f"{account}.toml"), "--log-level", "debug")
        agent = Agent(self.folder / f"agent-{name}", "", name=name, options=options,
                      environment=self.clients[account].environment, **settings)  # fmt: skip
        self._agents.append(agent)
        return agent.start()

    def listening(self) -> set[int]:
        """TCP ports that the master listens on."""
        import psutil

        assert self._master is not None
        found = psutil.Process(self._master.pid).net_connections(kind="tcp")
        return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}

    def end(self) -> None:
        for agent in self._agents:
            agent.stop_at_once()
        if self._master is not None:
            self._master.stop()
        self.server.stop()


@pytest.fixture
def fleet(tmp_path: Path, master_database: Path) -> Iterator[SSHFleet]:  # the fixture
    made = SSHFleet(tmp_path, master_database)
    yield made
    made.end()
