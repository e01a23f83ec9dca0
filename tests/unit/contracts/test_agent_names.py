"""Whose name an agent bears: what it says, and what its account says."""

from __future__ import annotations

import pytest

from contracts.agent_names import NAME_MAX, agent_name, named
from contracts.messages import Gone, SlotStatus, Status
from tests.unit.bridge_core.scene import Agent


@pytest.mark.parametrize(
    ("name", "account", "shown"),
    [
        ("alice", "alice", "alice"),
        ("b c", "b:20c", "b c"),
        ("alice@home", "alice:40home", "alice@home"),
        ("bob", "mallory", "bob@mallory"),
        ("alice", "mallory", "alice@mallory"),
        ("alice@alice", "mallory", "alice@alice@mallory"),
        ("b c", "mallory", "b c@mallory"),
        ("builder7", "guest", "builder7"),
        ("builder7@alice", "guest", "builder7@alice@guest"),
        ("\x1b]0;x\x07", "mallory", "\\x1b]0;x\\x07@mallory"),
        ("a" * 200, "mallory", "a" * (NAME_MAX - 1) + "…@mallory"),
    ],
)
def test_only_an_accounts_own_name_is_shown_alone(name: str, account: str, shown: str) -> None:
    """Whoever was heard before. Agents that share the broker's first account have names of their own."""
    assert agent_name(name, account) == shown


def test_all_that_tells_a_name_tells_it_with_its_account() -> None:
    """Claims, resumes, accepts and statuses; what tells none stays as it is."""
    alice, thief = Agent("alice", user="alice"), Agent("alice", user="mallory")
    assert named(alice.claim("o"), "alice").agent == "alice"
    status = Status(
        instance="i", agent="alice", epoch=1, address="agent.mallory.i.n", version="1", now=1.0, state="ready",
        slots=(SlotStatus(state="idle"),), capabilities=(),
    )  # fmt: skip
    for message in (thief.claim("o"), thief.resume(), thief.accept(), status):
        assert named(message, "mallory").agent == "alice@mallory"
    gone: Gone = thief.gone()
    assert named(gone, "mallory") is gone
