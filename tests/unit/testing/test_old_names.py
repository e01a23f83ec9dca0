"""Documented names of the release before are there for one release more, with a warning."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

OLD = {
    ("contracts.testing.broker", "MemoryBroker"): "contracts.testing.memory_broker.broker",
    ("contracts.testing.queues", "Publication"): "contracts.testing.memory_broker.queues",
    ("contracts.testing.rabbitmq_node", "RabbitMQNode"): "contracts.testing.rabbitmq.node",
}


@pytest.mark.parametrize(("module", "name"), OLD)
def test_an_old_name_is_the_new_one_and_warns(module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.warns(DeprecationWarning, match=OLD[module, name]):
        old = import_module(module)
    assert getattr(old, name) is getattr(import_module(OLD[module, name]), name)
