"""Masters and agents for the tests of this folder; whatever they started ends with the test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.ways import Way


@pytest.fixture(scope="session")
def master_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of this Buildbot's version, made once: it takes seconds."""
    folder = tmp_path_factory.mktemp("database")
    BuildMaster(folder, "c['workers'] = [worker.Worker('w', 'p')]\nbuilder('b', c['workers'])\n", url=None).create()
    return folder / "state.sqlite"


@pytest.fixture
def make_master(tmp_path: Path, way: Way, master_database: Path) -> Iterator[Callable[..., BuildMaster]]:
    """Makes masters on this test's vhost: `make_master(config)` returns one that runs and is linked."""
    masters: list[BuildMaster] = []

    def make(
        config: str, *, name: str = "m1", broker: str = "", url: str | None = None, start: bool = True
    ) -> BuildMaster:
        folder = tmp_path / f"master-{name}"
        master = BuildMaster(folder, config, url=url or way.master(folder), name=name, broker=broker)
        master.create(master_database)
        masters.append(master)
        if start:
            master.start()
            master.wait_linked()
        return master

    yield make
    for master in masters:
        master.kill()


@pytest.fixture
def make_agent(tmp_path: Path, way: Way) -> Iterator[Callable[..., Agent]]:
    """Makes agents on this test's vhost: `make_agent("a1", capabilities=["gtk=3.24"])` returns a started one."""
    agents: list[Agent] = []

    def make(name: str, **settings: object) -> Agent:
        entrance = way.entrance()
        environment = {**entrance.environment, **settings.pop("environment", {})}  # type: ignore[dict-item]
        agent = Agent(tmp_path / f"agent-{name}", entrance.url, name=name, environment=environment, **settings)  # type: ignore[arg-type]
        agents.append(agent)
        return agent.start()

    yield make
    for agent in agents:
        agent.stop(timeout=5)
        _end_tree(tmp_path)


def _end_tree(folder: Path) -> None:
    """End what an agent left behind: processes whose working folder or command line lies below `folder`."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            if str(folder) in command and "worker_agent" in command:
                os.kill(int(entry.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue
