"""Doors of masters, whatever the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from master_bridge.link.settings import TLSSettings
from tests.broker.bridge.conftest import twisted as twisted
from tests.transports.wires.door import Running


@pytest.fixture
def make_door(twisted: Any, tmp_path: Path) -> Iterator[Callable[..., Running]]:  # the fixture
    """Makes doors: `make_door(url, tls, silence)`."""
    made: list[Running] = []

    def make(url: str, tls: TLSSettings | None = None, silence: float = 15.0) -> Running:
        made.append(Running(twisted, tmp_path, url, tls, silence))
        return made[-1]

    yield make
    for running in made:
        running.close()
