from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.harness.processes import alive
from tests.unit.keeper_processes.driving.harness import JOURNALS, Driven
from tests.unit.keeper_processes.driving.planting import pids
from worker_agent.keeper.processes.reaper import kill_tree


@pytest.fixture
async def driven(tmp_path: Path) -> AsyncIterator[Driven]:
    """A keeper to be; the test opens it with the settings it needs."""
    made = Driven(tmp_path)
    yield made
    if hasattr(made, "keeper"):
        await made.keeper.close()


@pytest.fixture(autouse=True)
def journals_are_closed() -> Iterator[None]:
    """Those of every `Driven` that the test made."""
    yield
    while JOURNALS:
        JOURNALS.pop().close()


@pytest.fixture
def nothing_is_left(driven: Driven) -> Iterator[None]:
    """Whatever becomes of the test, the tree that it planted does not outlive it."""
    yield
    for pid in pids(driven):
        if alive(pid):
            kill_tree(pid)
