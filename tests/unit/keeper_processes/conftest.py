from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.keeper_processes.harness import Driven


@pytest.fixture
async def driven(tmp_path: Path) -> AsyncIterator[Driven]:
    """A keeper to be; the test opens it with the settings it needs."""
    made = Driven(tmp_path)
    yield made
    if hasattr(made, "keeper"):
        await made.keeper.close()
