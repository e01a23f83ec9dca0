"""Sessions lost at random moments of a build's life, as tests/faults/agents/test_losses.py does it 200 times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import chosen_lab
from tests.faults.laboratory import losses
from tests.faults.laboratory.lab import Lab

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path, master_database: Path) -> Iterator[Lab]:
    made = chosen_lab(request, tmp_path / "lab", master_database)
    yield made
    made.end()


def test_each_build_ends_and_each_slot_works(lab: Lab) -> None:
    """RETRY, then SUCCESS."""
    ends = losses.run(lab, lanes=2, losses=4, faults=losses.QUICK, seed=1)
    assert sum(ends.values()) >= 2, ends
