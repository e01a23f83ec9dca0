"""Whose name an agent bears: what it says, and what its account says."""

from __future__ import annotations

import pytest

from contracts.messages import Gone
from master_bridge.core.names import AgentNames
from tests.unit.bridge_core.scene import Agent


@pytest.mark.parametrize(
    ("name", "account", "shown"),
    [
        ("alice", "alice", "alice"),
        ("bob", "mallory", "bob"),
        ("alice", "mallory", "alice@mallory"),
        ("alice@alice", "mallory", "alice@alice@mallory"),
        ("b c", "b:20c", "b c"),
        ("b c", "mallory", "b c@mallory"),
    ],
)
def test_a_name_of_another_account_is_shown_with_the_account_that_bears_it(name: str, account: str, shown: str) -> None:
    """Accounts alice and "b c" were heard; many agents of one account have names of their own, as without accounts."""
    names = AgentNames()
    for heard in ("alice", "b:20c", "mallory"):
        names.heard(heard)
    assert names.shown(name, account) == shown


def test_all_that_tells_a_name_is_told_apart() -> None:
    """Claims, resumes and accepts; what tells none stays as it is."""
    names = AgentNames()
    alice, thief = Agent("alice", user="alice"), Agent("alice", user="mallory")
    assert names.told_apart(alice.claim("o"), "alice").agent == "alice"
    for message in (thief.claim("o"), thief.resume(), thief.accept()):
        assert names.told_apart(message, "mallory").agent == "alice@mallory"
    gone: Gone = thief.gone()
    assert names.told_apart(gone, "mallory") is gone
