"""What is put into `bb.dead` fits into a frame, whatever its sender wrote into the headers."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import topology
from contracts.burial import COPIED_MAX, LEFT_OUT_HEADER, REASON_MAX, headers_of

KNOWN = {"bb": "{}", "bb-key": "k", "bb-stamp": "s", "bb-signature": "x"}


def test_what_is_needed_to_read_and_check_it_is_copied_and_nothing_else() -> None:
    """Not `CC`, which would send it elsewhere, nor what another burier said of it."""
    strange = {"CC": ["status"], "x-death": [{}], "bb-reason": "theirs", "bb-agent": "theirs", "colour": "blue"}
    found = headers_of({**KNOWN, **strange}, reason="why", queue="claims.m1")
    assert found == {**KNOWN, "bb-reason": "why", "bb-queue": "claims.m1"}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("value", ["x" * 131_038, b"x" * 131_038, "\ud800" * 50_000, b"\xff", [1], {"a": 1}, 7, None])
def test_a_header_that_is_too_large_or_no_text_is_left_out(name: str, value: Any) -> None:
    found = headers_of({**KNOWN, name: value}, reason="why", queue="q", agent="a")
    assert name not in found
    assert {other: found.get(other) for other in KNOWN if other != name} == {
        other: KNOWN[other] for other in KNOWN if other != name
    }
    assert found.get(LEFT_OUT_HEADER) == (None if value is None else name)


def test_all_together_they_are_bounded_too() -> None:
    each = COPIED_MAX // 2
    found = headers_of(dict.fromkeys(KNOWN, "x" * each), reason="y" * 10**6, queue="\ud800" * 10**6, agent="z" * 10**6)
    size = sum(len(name) + len(str(value).encode()) for name, value in found.items())
    assert size <= COPIED_MAX + 3 * 4 * REASON_MAX
    assert [name for name in KNOWN if name in found] == ["bb", "bb-key"]
    assert found[LEFT_OUT_HEADER] == "bb-stamp, bb-signature"


def test_the_priority_that_it_had_goes_with_it() -> None:
    """So that it can be offered anew as it was."""
    found = headers_of({}, reason="why", queue="q", agent="a1", priority=3)
    assert (found[topology.DEAD_PRIORITY_HEADER], found[topology.DEAD_AGENT_HEADER]) == (3, "a1")
