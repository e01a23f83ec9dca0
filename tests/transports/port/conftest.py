"""Both ends of each transport."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.transports.port.ends import AgentEnd, MasterEnd
from tests.transports.port.middles import MIDDLES, Middle

MakeMaster = Callable[..., Awaitable[MasterEnd]]
MakeAgent = Callable[..., Awaitable[AgentEnd]]


#: What `make test` leaves to `make test-long`: their links are AMP's but for the wire, which has tests of its own.
LONG = ("zmq", "ssh")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in MIDDLES])
def middle(request: pytest.FixtureRequest) -> Iterator[Middle]:
    """Of each transport in turn."""
    made = MIDDLES[request.param](request)
    yield made
    made.close()


@pytest.fixture
async def make_master(twisted: Any, middle: Middle, tmp_path: Path) -> AsyncIterator[MakeMaster]:
    """Makes links of the one master, which are up; before another one the former is stopped."""
    made: list[MasterEnd] = []

    async def make(**settings: Any) -> MasterEnd:
        made.append(MasterEnd(twisted, middle, tmp_path, **settings))
        return await made[-1].up()

    yield make
    for master in made:
        await master.call("stop")


@pytest.fixture
async def master(make_master: MakeMaster) -> MasterEnd:
    """The one master, linked."""
    return await make_master()


@pytest.fixture
async def make_agent(middle: Middle) -> AsyncIterator[MakeAgent]:
    """Makes agents' links; `up=False`: they may not be up yet."""
    made: list[AgentEnd] = []
    epochs = itertools.count(1)

    async def make(name: str = "a1", *, up: bool = True) -> AgentEnd:
        made.append(AgentEnd(middle, name, epochs))
        if up:
            await made[-1].up()
        return made[-1]

    yield make
    for agent in made:
        await agent.close()


@pytest.fixture
async def agent(master: MasterEnd, make_agent: MakeAgent) -> AgentEnd:
    """One agent, linked to `master`."""
    return await make_agent()
