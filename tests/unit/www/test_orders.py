"""Orders: what became of them, how many are kept, what a master's restart remembers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from master_bridge.www.orders import KEPT, WAIT, OrderRecord, Orders
from tests.unit.fleet.test_agents import status


def entry(order: str = "drain", **more: Any) -> OrderRecord:
    return OrderRecord(
        **{"when": 10.0, "who": "ann", "order": order, "agent": "u/a", "name": "a", "reason": "r", "epoch": 1, **more}
    )


@pytest.mark.parametrize(
    ("order", "before", "after"),
    [
        ("drain", {}, {"state": "paused"}),
        ("drain", {}, {"state": "draining"}),
        ("resume", {"state": "paused"}, {}),
        ("leave", {}, {"state": "leaving"}),
        ("stop", {"state": "draining"}, {"state": "leaving"}),
        ("restart", {}, {"epoch": 2}),
        ("probe", {}, {"found": {"gtk": "command gtk"}}),
    ],
)
def test_an_order_is_done_when_its_agent_shows_it(order: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    orders = Orders()
    orders.add(entry(order))
    orders.heard(status(**before), 11.0)
    assert [each.outcome for each in orders] == ["told"]
    orders.heard(status(account="thief", **after), 12.0)
    assert [each.outcome for each in orders] == ["told"], "another account's agent of this instance"
    orders.heard(status(**after), 12.0)
    assert [each.outcome for each in orders] == ["done"]


def test_an_agent_that_was_gone() -> None:
    orders = Orders()
    orders.add(entry())
    orders.returned("agent.u.a.n", "a", 11.0)
    assert [each.outcome for each in orders] == ["gone"]


def test_an_order_without_effect_is_not_waited_for_for_ever() -> None:
    orders = Orders()
    orders.add(entry())
    orders.heard(status(state="paused"), 11.0 + WAIT)
    assert [each.outcome for each in orders] == ["told"]


def test_the_newest_are_kept_over_a_restart() -> None:
    orders = Orders()
    for number in range(KEPT + 5):
        orders.add(entry(reason=str(number)))
    assert orders.changed
    stored = json.loads(json.dumps(orders.stored()))
    assert not orders.changed
    again = Orders()
    again.remember(stored)
    assert [each.reason for each in again] == [str(number) for number in range(KEPT + 4, 4, -1)]


@pytest.mark.parametrize("stored", [None, 3, {"a": 1}, [None, {}, {"when": "x"}, {"when": float("nan")}]])
def test_what_cannot_be_read_is_left_out(stored: object) -> None:
    orders = Orders()
    orders.add(entry())
    orders.remember(stored)
    assert len(list(orders)) == 1
