"""How often a master wants to be told what agents are (rule 27)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from contracts.messages import Status
from master_bridge.buildbot.fleet.announcements import Announcements
from master_bridge.buildbot.fleet.statuses import COUNTED_MAX, CountedAgents, status_interval
from master_bridge.buildbot.fleet.view import ACCOUNT_AGENTS, FleetView
from master_bridge.core.inputs import StatusesWanted


def status(number: int, *, account: str = "u", **more: Any) -> Status:
    instance = f"i-{number}"
    told = {"instance": instance, "agent": instance, "epoch": 1, "address": f"agent.{account}.{instance}.n"}
    told |= {"version": "1", "now": 0.0, "state": "ready", "slots": (), "capabilities": (), **more}
    return Status.model_validate(told)


def counted(agents: int) -> CountedAgents:
    them = CountedAgents()
    one = status(0)
    for number in range(agents):
        them.hear(("u", str(number)), one, 0.0)
    return them


@pytest.mark.parametrize(
    ("agents", "seconds"),
    [
        (0, 5), (1, 5), (999, 5), (1_000, 5), (1_001, 10), (2_000, 10), (2_001, 15), (5_000, 25), (12_000, 60),
        (12_001, 60), (100_000, 60),
    ],
)  # fmt: skip
def test_a_large_fleet_tells_as_much_as_a_thousand_agents(agents: int, seconds: int) -> None:
    assert status_interval(agents) == seconds
    assert agents > 12_000 or agents / seconds <= 200


def test_an_agent_that_comes_and_goes_changes_nothing() -> None:
    """Longer at once, shorter once a tenth of the fleet is gone."""
    every, changes = 5, 0
    for agents in (1_000, 1_001) * 50:
        changes += status_interval(agents, every) != every
        every = status_interval(agents, every)
    assert (every, changes) == (10, 1)
    assert status_interval(901, 10) == 10
    assert status_interval(900, 10) == 5


@pytest.mark.parametrize("before", [5, 10, 25, 60])
@pytest.mark.parametrize("agents", [0, 1, 900, 1_000, 1_001, 1_900, 2_000, 5_000, 11_000, 50_000])
def test_where_the_fleet_stays_the_interval_does(agents: int, before: int) -> None:
    """Whatever it was before; and it is never shorter than that many agents want it."""
    every = status_interval(agents, before)
    assert status_interval(agents, every) == every
    assert every >= status_interval(agents)
    assert every % 5 == 0


def test_agents_are_counted_that_are_there() -> None:
    """Each once; one that says good-bye, or nothing for as long as it said, is not."""
    them = counted(1_001)
    assert them.every(1.0) == 10
    for number in range(1_001):
        them.hear(("u", str(number)), status(0, every=10), 14.0)
    assert them.every(43.0) == 10
    for number in range(101):
        them.hear(("u", str(number)), status(0, state="leaving"), 43.0)
    assert them.every(43.5) == 5
    assert counted(1_001).every(15.1) == 5


def test_more_agents_than_matter_are_not_counted() -> None:
    """A hostile account makes nobody remember more, and no interval longer than the longest."""
    them = counted(COUNTED_MAX + 5)
    assert them.every(0.0) == 60
    assert len(them._until) == COUNTED_MAX
    assert them.every(16.0) == 5
    assert not them._until


def test_those_are_counted_of_which_nothing_is_kept() -> None:
    """A whole fleet may share an account, of which the view keeps a thousand."""
    fleet = FleetView()
    for number in range(2 * ACCOUNT_AGENTS):
        fleet.hear(status(number), 0.0)
    assert len(list(fleet.agents(0.0))) == ACCOUNT_AGENTS
    assert fleet.status_every(0.0) == 10


def test_the_bridge_is_told_when_it_changes() -> None:
    """Each bridge of this master, also one that is made after the fleet has become large."""
    fed: list[Any] = []
    bridge = SimpleNamespace(incarnation="1", feed=fed.append)
    every = [5]
    broker = SimpleNamespace(bridge=None, fleet=SimpleNamespace(status_every=lambda _now: every[0]))
    this = Announcements(broker)
    this.want_statuses()
    broker.bridge = bridge
    for every[0] in (5, 5, 10, 10):
        this.want_statuses()
    bridge.incarnation = "2"
    this.want_statuses()
    assert fed == [StatusesWanted(every=5), StatusesWanted(every=10), StatusesWanted(every=10)]
