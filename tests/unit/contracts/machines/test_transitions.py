"""A table says what each input does in each state, or why nothing; one with a hole cannot be made."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from contracts.machines.transitions import Row, Table, words


class Door(Enum):
    OPEN = "open"
    CLOSED = "closed"
    GONE = "gone"


class Push:
    pass


class KickHard:
    pass


def push() -> None:
    pass


ROWS: dict[tuple[Door, Any], Row[Door, Any]] = {
    (Door.OPEN, Push): Row(push, {Door.CLOSED: "it falls shut"}),
    (Door.CLOSED, Push): Row(push, {Door.OPEN: "", Door.CLOSED: "stuck"}),
    (Door.CLOSED, KickHard): Row(push, {Door.GONE: "", Door.CLOSED: ""}),
}
IGNORED: dict[Any, str] = {(Door.OPEN, KickHard): "nothing is there to be kicked"}


def door(rows: Any = ROWS, ignored: Any = IGNORED) -> Table[Door, type, Any]:
    return Table(start=Door.OPEN, states=Door, inputs=(Push, KickHard), rows=rows, ignored=ignored, ends=(Door.GONE,))


def test_a_row_is_found_and_what_is_ignored_has_none() -> None:
    """The handler of the row is what the machine calls."""
    found = door().row(Door.OPEN, Push)
    assert found is not None
    assert found.handler is push
    assert door().row(Door.OPEN, KickHard) is None


def test_what_the_table_does_not_know_is_an_error() -> None:
    """Also in a state in which all is over."""
    with pytest.raises(KeyError, match="OPEN knows no int"):
        door().row(Door.OPEN, int)
    with pytest.raises(KeyError, match="GONE knows no push"):
        door().row(Door.GONE, Push)


def test_only_what_a_row_names_may_follow() -> None:
    """An ignored input changes nothing."""
    assert door().allows(Door.CLOSED, Push, Door.OPEN)
    assert not door().allows(Door.CLOSED, Push, Door.GONE)
    assert door().allows(Door.OPEN, KickHard, Door.OPEN)
    assert not door().allows(Door.OPEN, KickHard, Door.GONE)
    assert (Door.OPEN, Push, Door.CLOSED) in door().moves()


@pytest.mark.parametrize(
    ("rows", "ignored", "says"),
    [
        (ROWS, {}, "OPEN and kick hard has neither a row nor a reason"),
        (ROWS, {**IGNORED, (Door.OPEN, Push): "why"}, "OPEN and push has a row and a reason"),
        ({**ROWS, (Door.GONE, Push): Row(push, {Door.GONE: ""})}, IGNORED, "GONE and push is not of this table"),
        (ROWS, {**IGNORED, (Door.OPEN, int): "why"}, "OPEN and int is not of this table"),
        ({**ROWS, (Door.OPEN, Push): Row(push, {})}, IGNORED, "OPEN and push leads to no state"),
        ({**ROWS, (Door.OPEN, Push): Row(push, {Door.OPEN: "a: b"})}, IGNORED, "'a: b' breaks a label"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(rows: Any, ignored: Any, says: str) -> None:
    """The cell is named."""
    with pytest.raises(ValueError, match=says):
        door(rows, ignored)


def test_a_diagram_has_an_arrow_for_each_effect_and_none_for_a_loop_without_words() -> None:
    """Inputs with the same effect share one."""
    assert door().diagram().splitlines() == [
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> OPEN",
        "    OPEN --> CLOSED: push / it falls shut",
        "    CLOSED --> OPEN: push",
        "    CLOSED --> CLOSED: push / stuck",
        "    CLOSED --> GONE: kick hard",
        "    GONE --> [*]",
        "```",
    ]


def test_what_is_ignored_is_told_with_its_reason() -> None:
    """States that ignore the same inputs for the same reason share a line."""
    assert door().left_out() == "- nothing is there to be kicked: kick hard (OPEN)"


def test_inputs_have_names_for_people() -> None:
    """Classes and members of enums alike."""
    assert words(KickHard) == "kick hard"
    assert words(Enum("Input", ["LINK_UP"]).LINK_UP) == "link up"  # type: ignore[attr-defined]
