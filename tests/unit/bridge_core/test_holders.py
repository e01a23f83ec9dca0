"""Who holds what is found by session and by agent, and both are always the same."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from master_bridge.core.holders import Holders

SESSIONS = st.sampled_from("abcd")
AGENTS = st.tuples(st.sampled_from(["i", "j"]), st.sampled_from(["alice", "mallory"]))


@given(st.lists(st.tuples(SESSIONS, st.one_of(st.none(), AGENTS)), max_size=20))
def test_an_agents_sessions_are_those_that_it_holds(steps: list[tuple[str, Any]]) -> None:
    """A step gives a session to an agent, or ends it."""
    holders, expected = Holders(), dict[str, Any]()
    for session, agent in steps:
        expected.pop(session, None)
        if agent is None:
            holders.pop(session, None)
        else:
            instance, user = agent
            expected[session] = work = SimpleNamespace(granted=SimpleNamespace(instance=instance, user=user))
            holders[session] = work  # type: ignore[assignment]  # what it looks at is there
        assert dict(holders) == expected
        for instance in "ij":
            for user in ("alice", "mallory"):
                held = tuple(
                    each for each in expected.values() if (each.granted.instance, each.granted.user) == (instance, user)
                )
                assert holders.of_agent(instance, user) == held
