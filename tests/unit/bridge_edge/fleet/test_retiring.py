"""Which queues of removed columns may be deleted, and when."""

from __future__ import annotations

from master_bridge.buildbot.fleet.retiring import RETIRE_AFTER, RetiredSignatures


def nobody(signature: str) -> bool:
    return False


def test_a_removed_column_is_due_after_a_while() -> None:
    """Not at once: while a master starts, its columns come one after the other."""
    retired = RetiredSignatures()
    retired.update({"gtk", "wx"}, 0)
    retired.update({"gtk"}, 1)
    assert retired.due(1 + RETIRE_AFTER - 0.1, nobody) == []
    assert retired.due(1 + RETIRE_AFTER, nobody) == ["wx"]


def test_a_column_that_comes_back_is_kept() -> None:
    """Its time starts again when it goes again."""
    retired = RetiredSignatures()
    retired.update({"wx"}, 0)
    retired.update(set(), 1)
    retired.update({"wx"}, 2)
    retired.update(set(), RETIRE_AFTER)
    assert retired.due(RETIRE_AFTER + 2, nobody) == []


def test_what_another_master_wants_is_left_to_it() -> None:
    """It is not tried again when that master is gone: it is that master's queue now."""
    retired = RetiredSignatures()
    retired.remember(["wx"])
    retired.update(set(), 0)
    assert retired.due(RETIRE_AFTER, lambda signature: signature == "wx") == []
    assert retired.due(RETIRE_AFTER, nobody) == []
    assert retired.known == set()


def test_a_column_removed_while_the_master_was_down_is_due_too() -> None:
    """The former life's signatures are remembered until their queues are gone; a queue with work is tried again."""
    retired = RetiredSignatures()
    retired.remember(["wx"])
    retired.update({"gtk"}, 0)
    assert retired.due(RETIRE_AFTER, nobody) == ["wx"]
    assert retired.due(2 * RETIRE_AFTER, nobody) == ["wx"]
    retired.deleted("wx")
    assert retired.known == {"gtk"}
