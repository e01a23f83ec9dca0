"""One master with its workers for all modules of this folder: each adds its builders by a reconfig."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.buildbot.parity.comparing.side_by_side import SideBySide
from tests.harness.ways import Way

#: Seconds for a test with its fixtures, in which many builds run: on a busy machine Buildbot takes seconds a step.
TIMEOUT = 400


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/buildbot/parity/") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture(scope="session")
def make_side_by_side(
    make_way: Callable[[Path], Way], master_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SideBySide]]:
    """`make_side_by_side()`: a master with all its workers; `add` starts it."""
    made: list[SideBySide] = []

    def make(**settings: object) -> SideBySide:
        side = SideBySide(tmp_path_factory.mktemp("side"), make_way, master_database, **settings)  # type: ignore[arg-type]
        made.append(side)
        return side

    yield make
    for side in made:
        side.stop()


@pytest.fixture(scope="session")
def shared(make_side_by_side: Callable[..., SideBySide]) -> SideBySide:
    """The master that all modules share. Starting one with its workers takes longer than most builds on it."""
    return make_side_by_side()
