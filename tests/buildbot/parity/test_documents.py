"""The documents of parity say what the tests do."""

from __future__ import annotations

import re

from tests.buildbot.parity.comparing.differences import DIFFERENCES
from tests.buildbot.parity.comparing.table import DOCUMENT, document


def test_every_difference_is_described_and_nothing_else() -> None:
    """docs/differences-to-pb.md has one section for each listed difference."""
    text = (DOCUMENT.parent / "differences-to-pb.md").read_text()
    assert sorted(re.findall(r"^### (.+)$", text, re.MULTILINE)) == sorted(each.title for each in DIFFERENCES.values())


def test_the_table_is_that_of_the_cases() -> None:
    """docs/parity.md is made of the cases; when they change: `python -m tests.buildbot.parity.comparing.table`."""
    assert DOCUMENT.read_text() == document()
