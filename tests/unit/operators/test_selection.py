"""Which agent an operator means: never one that only calls itself so."""

from __future__ import annotations

import pytest

from contracts.agent_names import named
from contracts.messages import SlotStatus, Status
from master_bridge.operating.errors import OperatingError
from master_bridge.operating.selection import select


def agent(name: str, account: str, instance: str = "0a1b2c3d") -> Status:
    """As a survey has it."""
    status = Status(
        instance=instance, agent=name, epoch=1, address=f"agent.{account}.i.n", version="1", now=1.0, state="ready",
        slots=(SlotStatus(state="idle"),), capabilities=(),
    )  # fmt: skip
    return named(status, account)


ALICE, THIEF, BOX, OTHER = agent("alice", "alice"), agent("alice", "mallory"), agent("box", "ci"), agent("x", "guest")
ALL = [ALICE, THIEF, BOX, OTHER]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("alice", ALICE), ("alice@alice", ALICE), ("alice@mallory", THIEF), ("0a1b2c3d@mallory", THIEF),
        ("0a1b@ci", BOX), ("box@ci", BOX), ("x", OTHER), ("x@guest", OTHER),
    ],
)  # fmt: skip
def test_a_name_is_its_accounts(name: str, meant: Status) -> None:
    assert select(ALL, [name], []) == [meant]


@pytest.mark.parametrize("alive", [[THIEF], [agent("bob", "mallory", "alice-0a1b")]])
def test_orders_for_an_agent_that_is_away_go_to_nobody_else(alive: list[Status]) -> None:
    """Neither to one that calls itself so, nor to one whose instance begins like that."""
    with pytest.raises(OperatingError, match=r"alice@mallory|no agent 'alice' is alive"):
        select(alive, ["alice"], [])


@pytest.mark.parametrize("name", ["0a1b2c3d", "0a1b", "x"])
def test_what_fits_several_is_asked_for(name: str) -> None:
    with pytest.raises(OperatingError, match="name one by its instance"):
        select([*ALL, agent("x", "mallory")], [name], [])
