"""docs/threat-model.md names for each promise the test that shows it: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "threat-model.md"
WHO = ("a build", "a worker's account", "an operator's account", "a second master's account", "the network",
       "the broker's administrator")  # fmt: skip


def rows() -> list[tuple[str, str, str, str]]:
    """Who, can, cannot, shown by."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and not line.startswith(("| who", "|---")):
            found.append((cells[0], cells[1], cells[2], cells[3]))
    return found


def test_each_promise_names_tests_that_are_there() -> None:
    """By their paths, or by a name that one file of the tests has."""
    there = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    for _, _, cannot, shown_by in rows():
        assert cannot
        named = [each.strip() for each in shown_by.split(",")]
        assert all(re.fullmatch(r"(tests/[\w/]+/)?test_\w+\.py", each) for each in named), shown_by
        for each in named:
            found = [path for path in there if path == each or path.endswith(f"/{each}")]
            assert len(found) == 1, (each, found)


def test_everybody_is_in_the_table() -> None:
    """All whom the page is about, each with what they can."""
    table = rows()
    for who in WHO:
        (row,) = [row for row in table if row[0].startswith(f"**{who}**")]
        assert row[1]
