"""Agents, and `master-bridge` as a program of its own: signals and pipes are part of what it does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from master_bridge.running import Fleet, OperatingError
from tests.broker.agent.conftest import AgentProcess, StartAgent, open_master, start_agent  # noqa: F401  # fixtures
from tests.harness.environment import program_environment
from tests.harness.waiting import wait_for

#: Seconds for anything that is expected to happen.
PATIENCE = 60


class Program:
    """`master-bridge ARGUMENTS` while it runs; its output goes to files."""

    def __init__(self, folder: Path, url: str | None, *arguments: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        folder.mkdir(parents=True)
        environment = {**program_environment(), "XDG_STATE_HOME": str(folder.parent)}
        if url is not None:
            environment["MASTER_BRIDGE_URL"] = url
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("master-bridge")), *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=folder,
            )  # fmt: skip

    @property
    def stdout(self) -> bytes:
        return self.out.read_bytes()

    @property
    def stderr(self) -> str:
        return self.err.read_text(errors="replace")

    def ended(self, expect: int = 0) -> Program:
        """It has ended with this status."""
        status = self.process.wait(PATIENCE)
        assert status == expect, (status, self.stdout[-2000:], self.stderr)
        return self

    def end(self) -> None:
        """It runs no more."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


Begin = Callable[..., Program]
StartAll = Callable[..., "list[AgentProcess]"]


@pytest.fixture
def start_all(start_agent: StartAgent, amqp_url: str) -> StartAll:  # noqa: F811  # the fixture
    """Starts agents of these names, and waits until operators see them."""

    def start(*names: str, flags: tuple[str, ...] = (), **more: Any) -> list[AgentProcess]:
        agents = [start_agent(name, *flags, **more) for name in names]
        fleet = Fleet(amqp_url)

        def are_there() -> bool:
            try:
                return {each.agent for each in fleet.agents()} >= set(names)
            except OperatingError:  # the first one makes the exchanges
                return False

        wait_for(are_there, PATIENCE, lambda: agents[0].log)
        return agents

    return start


@pytest.fixture
def begin(tmp_path: Path, amqp_url: str) -> Iterator[Begin]:
    """Starts `master-bridge ARGUMENTS` against `amqp_url`, or the `url` given."""
    programs: list[Program] = []

    def start(*arguments: str, url: str = amqp_url) -> Program:
        programs.append(Program(tmp_path / "programs" / str(len(programs)), url, *arguments))
        return programs[-1]

    yield start
    for program in programs:
        program.end()
