"""Masters that listen for their agents themselves, with TLS, and agents that come to them: no broker anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.testing.rabbitmq.ports import free_ports
from master_bridge.link.office import accounts
from tests.buildbot.conftest import master_database as master_database
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for


class Fleet:
    """One master and its agents. `url`: where agents come to, once the master has started."""

    def __init__(self, folder: Path, database: Path) -> None:
        self._folder = folder
        self._database = database
        (self.port,) = free_ports(1)
        self._agents: list[Agent] = []
        self._master: BuildMaster | None = None
        self.token = ""

    def make_master(self, config: str, *, url: str | None = None, **settings: Any) -> BuildMaster:
        folder = self._folder / "master"
        master = BuildMaster(folder, config, url=url or f"amp://127.0.0.1:{self.port}", **settings)
        self._master = master
        self.token = accounts.add(folder / accounts.ACCOUNTS_FILE, "agents")
        master.create(self._database)
        master.start()
        return master

    @property
    def url(self) -> str:
        assert self._master is not None
        return f"amps://agents:{self.token}@127.0.0.1:{self.port}?fingerprint={self.fingerprint()}"

    def fingerprint(self) -> str:
        master = self._master
        assert master is not None
        found = wait_for(
            lambda: re.search(r"fingerprint=(sha256:[0-9a-f]{64})", master.log()), 60, lambda: master.log()[-4000:]
        )
        return str(found[1])

    def make_agent(self, name: str = "agent", **settings: Any) -> Agent:
        agent = Agent(self._folder / name, self.url, name=name, **settings)
        self._agents.append(agent)
        return agent.start()

    def end(self) -> None:
        for agent in self._agents:
            agent.stop_at_once()
        if self._master is not None:
            self._master.stop()


@pytest.fixture
def fleet(tmp_path: Path, master_database: Path) -> Iterator[Fleet]:  # the fixture
    made = Fleet(tmp_path, master_database)
    yield made
    made.end()
