"""Sessions lost at random moments of a build's life, as tests/faults/agents/test_losses.py does it 200 times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode
from tests.faults.laboratory import losses
from tests.faults.laboratory.lab import Lab

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def lab(tmp_path: Path, node: RabbitMQNode, make_vhost: Callable[[], str], master_database: Path) -> Iterator[Lab]:
    made = Lab(tmp_path / "lab", node, make_vhost(), master_database)
    yield made
    made.end()


def test_each_build_ends_and_each_slot_works(lab: Lab) -> None:
    """RETRY, then SUCCESS."""
    ends = losses.run(lab, lanes=2, losses=4, faults=losses.QUICK, seed=1)
    assert sum(ends.values()) >= 2, ends
