"""What columns have and lack, and why each request waits."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.messages import ExpectedStart
from contracts.requirements.sets import Requirements
from master_bridge.fleet.agents import Agents
from master_bridge.fleet.columns import WAITING_SHOWN, FleetColumn, Waiter, column_rows, waiting_rows
from tests.unit.fleet.test_agents import GTK3, status

COLUMN = FleetColumn(signature="gtk>=3", requirements=GTK3["gtk>=3"], builders=("b",), places=2)


def waiter(name: str = "b #1", **more: Any) -> Waiter:
    return Waiter(
        **{"request": "br-1", "title": name, "since": 90.0, "signature": "gtk>=3", "state": "waiting", **more}
    )


def fleet(*statuses: Any) -> Agents:
    agents = Agents()
    for each in statuses:
        agents.hear(each, 100.0)
    agents.look(GTK3, {})
    return agents


def row(agents: Agents, *waiting: Waiter) -> dict[str, Any]:
    return column_rows({"gtk>=3": COLUMN}, waiting, agents, 100.0)["gtk>=3"]


def test_a_column_counts_who_qualifies_and_what_waits() -> None:
    agents = fleet(status("a", held="s"), status("b"), status("c", gtk="2.24"), status("d", state="paused"))
    found = row(agents, waiter(), waiter(since=40.0))
    assert (found["waiting"], found["oldest"]) == (2, 60)
    assert (found["qualified"], found["unfit"], found["busy"], found["free"]) == (2, 1, 1, 1)
    assert (found["missing"], found["names"]) == ([], ["gtk"])


@pytest.mark.parametrize(
    ("agents", "more", "down", "reason"),
    [
        ([], {}, None, "no agent offers gtk>=3"),
        ([{"gtk": "2.24"}], {}, None, "no agent offers gtk>=3; nearest: a0 has gtk 2.24, needs gtk>=3"),
        ([{"held": "s"}], {}, None, "the one agent that qualifies is busy"),
        ([{"held": "s"}, {"held": "t"}], {}, None, "all 2 agents that qualify are busy"),
        ([{}], {}, None, "1 slot is free: it is about to be taken"),
        ([{"state": "paused"}], {}, None, "take no work (paused, unwell, silent, leaving): 1"),
        ([{}], {"state": "window"}, None, "its master asks first whether an agent has it already"),
        ([{}], {"state": "granted"}, None, "an agent is taking it"),
        ([{}], {"state": "pending"}, None, "Buildbot has not started it"),
        ([{}], {}, "no route", "the broker is out of reach: no route"),
    ],
)
def test_why_it_waits(agents: list[dict[str, Any]], more: dict[str, Any], down: str | None, reason: str) -> None:
    known = fleet(*(status(f"a{number}", **each) for number, each in enumerate(agents)))
    waiting = [waiter(**more)]
    (found,) = waiting_rows(waiting, {"gtk>=3": row(known, *waiting)}, down=down)
    assert reason in found["reason"]


def test_places_in_line_are_those_of_one_queue_by_priority_and_age() -> None:
    waiting = [
        waiter("young", since=95.0),
        waiter("old", since=10.0),
        waiter("urgent", since=99.0, priority=5),
        waiter("other", since=1.0, signature="wx"),
        waiter("held back", state="pending", since=0.0, signature=""),
    ]
    found = [(each["title"], each["place"]) for each in waiting_rows(waiting, {}, down=None)]
    assert found == [("urgent", 1), ("other", 1), ("old", 2), ("young", 3), ("held back", 1)]


def test_what_is_shown_is_bounded() -> None:
    waiting = [waiter(str(number), since=float(number)) for number in range(3 * WAITING_SHOWN)]
    assert len(waiting_rows(waiting, {}, down=None)) == WAITING_SHOWN


def test_anothers_request_has_no_link_into_this_buildbot() -> None:
    (found,) = waiting_rows([waiter(master="m2")], {}, down="no route")
    assert (found["request"], found["master"], found["reason"]) == (None, "m2", "waits for an agent")


def test_an_expected_start_is_shown_with_its_span() -> None:
    expected = ExpectedStart(early=100.4, likely=160.0, late=1e300)
    (found,) = waiting_rows([waiter(expected=expected)], {}, down=None)
    assert (found["expected"]["early"], found["expected"]["likely"]) == (100, 160)
    assert found["expected"]["late"] < 1e12
    assert waiting_rows([waiter()], {}, down=None)[0]["expected"] is None


def test_a_column_of_any_agent() -> None:
    anything = FleetColumn(signature="any", requirements=Requirements())
    agents = fleet(status("a"))
    agents.look({"any": anything.requirements}, {})
    assert column_rows({"any": anything}, [], agents, 1.0)["any"]["free"] == 1
