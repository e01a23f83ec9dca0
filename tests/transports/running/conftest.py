"""A master's own link of each transport, real agents, and an operator on the master's machine or with an account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from master_bridge.running import Fleet, OperatingError
from tests.broker.agent.conftest import AgentProcess, start_agent  # noqa: F401  # the fixture
from tests.broker.bridge.conftest import twisted as twisted
from tests.broker.running.conftest import Begin, Program
from tests.transports.port.conftest import make_master as make_master
from tests.transports.port.conftest import master as master
from tests.transports.port.ends import MasterEnd
from tests.transports.port.middles import MIDDLES, Middle, RabbitMQ

#: What `make test` leaves to `make test-long`: over RabbitMQ commands have tests of their own.
LONG = frozenset(MIDDLES) - {"amp"}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in MIDDLES])
def middle(request: pytest.FixtureRequest) -> Iterator[Middle]:
    """Of each transport in turn."""
    made = MIDDLES[request.param](request)
    yield made
    made.close()


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> str:
    """Of a fresh vhost, where the transport is RabbitMQ; nobody uses it otherwise."""
    return str(request.getfixturevalue("node").vhost_url(request.getfixturevalue("make_vhost")()))


@pytest.fixture
def fleet(middle: Middle, master: MasterEnd, tmp_path: Path) -> Fleet:  # fixtures
    """As the master's user, where there is no broker."""
    return Fleet(middle.url) if isinstance(middle, RabbitMQ) else Fleet(master_dir=tmp_path)


@pytest.fixture
def agents(middle: Middle, fleet: Fleet, tmp_path: Path) -> Iterator[Callable[..., object]]:
    """Starts agents of these names, and waits until operators see them."""
    started: list[AgentProcess] = []

    async def start(*names: str) -> list[AgentProcess]:
        started.extend(AgentProcess(tmp_path / name, middle.agents_url) for name in names)

        def are_there() -> bool:
            try:
                return len(fleet.agents()) >= len(names)
            except OperatingError:
                return False

        for _ in range(60):
            if await asyncio.to_thread(are_there):
                return started
            await asyncio.sleep(0.2)
        raise AssertionError(started[0].log)

    yield start
    for agent in started:
        agent.child.end(9)
    for agent in started:
        print(f"--- {agent.folder.name}\n{agent.log}")


@pytest.fixture
def begin(middle: Middle, tmp_path: Path) -> Iterator[Begin]:
    """Starts `master-bridge COMMAND ARGUMENTS` as the operator of `fleet`."""
    programs: list[Program] = []
    options = ("--url", middle.url) if isinstance(middle, RabbitMQ) else ("--master-dir", str(tmp_path))

    def start(command: str, *arguments: str) -> Program:
        programs.append(Program(tmp_path / "programs" / str(len(programs)), None, command, *options, *arguments))
        return programs[-1]

    yield start
    for program in programs:
        program.end()
