"""One master with its workers for each module of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.testing.rabbitmq_node import USER, RabbitMQNode
from tests.buildbot.parity.side_by_side import SideBySide


@pytest.fixture(scope="module")
def make_side_by_side(
    node: RabbitMQNode, master_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SideBySide]]:
    """`make_side_by_side(config)`: a running master with all its workers, on a vhost of its own."""
    made: list[SideBySide] = []
    vhosts: list[str] = []

    def make(config: str, **settings: object) -> SideBySide:
        folder = tmp_path_factory.mktemp("side")
        vhost = f"side-{folder.name}"
        node.ctl("add_vhost", vhost)
        vhosts.append(vhost)
        node.ctl("set_permissions", "-p", vhost, USER, ".*", ".*", ".*")
        side = SideBySide(folder, node.vhost_url(vhost), master_database, config, **settings)  # type: ignore[arg-type]
        made.append(side)
        side.start()
        return side

    yield make
    for side in made:
        side.stop()
    for vhost in vhosts:
        node.ctl("delete_vhost", vhost)
