"""Lines of agents and columns: order, filter, groups, and how wide they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from contracts.messages import Capability, SlotStatus, Status
from contracts.requirements.sets import Requirements
from master_bridge.cli import looking
from master_bridge.fleet.agents import Agents
from master_bridge.fleet.lines import AGENT_COLUMNS, SORTS, Choice
from master_bridge.fleet.tables import plain
from master_bridge.operating.picture import Picture, agent_lines, draw

NOW = 10_000.0


def agent(name: str, *, gtk: str = "2.24", runs: str = "", since: float = 0, state: str = "ready") -> Status:
    slot = SlotStatus(state="held" if runs else "idle", title=runs, master="m1" if runs else None, since=since)
    return Status.model_validate(
        {
            "instance": name, "agent": name, "epoch": 1, "address": f"agent.u.{name}.n", "version": "1.0", "now": NOW,
            "state": state, "reasons": ("disk is full",) if state == "unwell" else (), "slots": (slot,),
            "capabilities": (Capability(name="gtk", version=gtk), Capability(name="python", version="3.11")),
        }
    )  # fmt: skip


def picture(*agents: Status) -> Picture:
    fleet = Agents()
    for each in agents:
        fleet.hear(each, NOW)
    return Picture.made(now=NOW, fleet=fleet, columns={"gtk>=3": {"m1"}}, works=())


FLEET = picture(
    agent("c", runs="web #1", since=NOW - 30), agent("a", gtk="3.24", runs="gtk #2", since=NOW - 600),
    agent("b", state="unwell"), agent("d", gtk="3.0"),
)  # fmt: skip


def names(choice: Choice) -> list[str]:
    _, lines = agent_lines(FLEET, choice, None)
    return [str(each.row["name"]) if each.row is not None else each.cells[0] for each in lines]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), ["a", "b", "c", "d"]),
        (Choice(reverse=True), ["d", "c", "b", "a"]),
        (Choice(sort="state"), ["a", "c", "d", "b"]),
        (Choice(sort="for"), ["a", "c", "b", "d"]),
        (Choice(sort="slots"), ["a", "c", "b", "d"]),
        (Choice(text="BUSY  web"), ["c"]),
        (Choice(text="disk"), ["b"]),
        (Choice(text="python 3.11 gtk 3.24"), ["a"]),
        (Choice(requirements=Requirements.of(["gtk>=3"])), ["a", "d"]),
        (Choice(grouped=True), ["gtk>=3 (2)", "a", "d", "serves no column of these masters (2)", "b", "c"]),
    ],
)
def test_agents_are_sorted_filtered_matched_and_grouped(choice: Choice, expected: list[str]) -> None:
    assert names(choice) == expected


def test_only_capabilities_that_queues_ask_for_are_shown_and_the_rest_is_counted() -> None:
    """All of them where that is asked for."""
    assert "gtk 3.24 +1" in "\n".join(draw(FLEET))
    assert "gtk 3.24, python 3.11" in "\n".join(draw(FLEET, Choice(all_capabilities=True)))
    assert draw(FLEET)[0] == "4 agents: 2 busy, 1 idle, 1 unwell; slots: 2 busy, 1 free; 0 requests wait"


def test_the_commands_orders_are_those_of_the_lines() -> None:
    assert tuple(SORTS) == looking.SORTS


@given(
    st.lists(st.tuples(*(st.text("ab漢é ", max_size=40) for _ in AGENT_COLUMNS)), max_size=5),
    st.integers(60, 200),
)
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    """Wide characters counted as two."""
    assert all(cell_len(line) <= width for line in plain(AGENT_COLUMNS, rows, width))
