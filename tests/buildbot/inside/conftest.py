from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.buildbot.inside.master import InsideMaster


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InsideMaster]:
    """A master in this process, not started yet."""
    master = InsideMaster(tmp_path, monkeypatch)
    yield master
    master.end()
