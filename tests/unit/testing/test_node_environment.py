"""What a private RabbitMQ node is started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.testing.rabbitmq.node import RabbitMQNode


def test_only_variables_that_are_given_reach_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a broker that the machine's owner set up are another broker's."""
    monkeypatch.setenv("ERL_FULLSWEEP_AFTER", "7")
    assert "ERL_FULLSWEEP_AFTER" not in RabbitMQNode(tmp_path / "a")._environment()
    given = RabbitMQNode(tmp_path / "b", environment={"ERL_FULLSWEEP_AFTER": "0"})
    assert given._environment()["ERL_FULLSWEEP_AFTER"] == "0"
