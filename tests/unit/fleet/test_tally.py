"""What is counted as each agent changes is what a look at all of them would count."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from contracts.requirements.sets import Requirements
from master_bridge.fleet import agents as module
from master_bridge.fleet.agents import Agents
from master_bridge.fleet.columns import FleetColumn, column_rows, summary
from master_bridge.fleet.tally import AgentCount, ColumnTally, Tally
from tests.unit.fleet.test_agents import status

SIGNATURES = ("any", "gtk>=3", "gtk>=4", "wx")


def count(agents: Agents, signature: str) -> dict[str, int]:
    """As it is, from all of them."""
    known = [each for each in agents if signature in each.serves]
    able = [each for each in known if each.takes_work]
    return {
        "qualified": len(able),
        "unfit": len(known) - len(able),
        "busy": sum(each.busy for each in able),
        "free": sum(each.free for each in known),
    }


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_all_agents_whatever_has_happened(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGENTS_MAX", 12)
    any_of, agents, now = random.Random(seed), Agents(), 1_000.0
    seen = Counter[str]()
    for _ in range(300):
        now += any_of.choice((0.0, 1.0, 20.0))
        told = status(
            f"a{any_of.randrange(15)}",
            account=any_of.choice("uv"),
            gtk=any_of.choice(("2.24", "3.24", "4.1")),
            held=any_of.choice((None, "s")),
            state=any_of.choice(("ready", "ready", "ready", "paused", "unwell", "leaving")),
        )
        agents.hear(told, now)
        if any_of.random() < 0.5:
            agents.tick(now)
        wanted = SIGNATURES[: any_of.choice((2, 4, 4, 4))]
        columns = {name: FleetColumn(signature=name, requirements=Requirements.from_signature(name)) for name in wanted}
        agents.look({name: column.requirements for name, column in columns.items()}, {})
        rows = column_rows(columns, [], agents, now)
        for name in wanted:
            assert {what: rows[name][what] for what in ("qualified", "unfit", "busy", "free")} == count(agents, name)
        told_of_all = summary(agents, 0)
        assert told_of_all["states"] == Counter(each.state for each in agents)
        assert told_of_all["busy"] == sum(each.busy for each in agents if each.takes_work)
        assert told_of_all["free"] == sum(each.free for each in agents)
        seen += Counter(each.state for each in agents)
    assert {"idle", "busy", "silent", "paused", "leaving"} <= set(seen)


def test_of_a_column_that_nobody_serves_any_more_nothing_is_kept() -> None:
    """Signatures come and go with each reconfig of each master."""
    tally = Tally()
    for number in range(10):
        state = ("idle", True) if number % 2 else ("paused", False)
        tally.put(("u", "a"), AgentCount(*state, busy=0, free=1, serves=(f"gtk>={number}",)))
        assert list(tally._columns) == [f"gtk>={number}"]
    tally.drop(("u", "a"))
    tally.drop(("u", "a"))
    assert (tally._columns, dict(tally.states), tally.all) == ({}, {}, ColumnTally())


def test_a_look_at_thousands_where_nothing_has_changed_looks_at_none() -> None:
    """A master makes the columns every few seconds, for Buildbot's pages and for what waits."""
    agents, columns = Agents(), {"any": FleetColumn(signature="any", requirements=Requirements())}
    for number in range(50):
        agents.hear(status(f"a{number}"), 1.0)
    agents.look({"any": columns["any"].requirements}, {})
    for known in agents:
        known.serves = ["nobody"]
        known.busy = known.idle = -1
    agents.look({"any": columns["any"].requirements}, {})
    assert column_rows(columns, [], agents, 2.0)["any"]["free"] == 50
    assert (summary(agents, 0)["free"], summary(agents, 0)["states"]) == (50, {"idle": 50})
