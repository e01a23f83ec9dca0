"""What is said when no agent qualifies."""

from __future__ import annotations

from contracts.messages import Capability
from contracts.requirements.nearest_misses import nearest_misses
from contracts.requirements.sets import Requirements

GTK2 = (Capability(name="gtk", version="2.24"),)
GTK3 = (Capability(name="gtk", version="3.24"),)


def said(asked: str, *agents: tuple[str, tuple[Capability, ...]]) -> list[str]:
    return [str(miss) for miss in nearest_misses(Requirements.of([asked]), agents)]


def test_one_agent_is_named_and_several_are_counted() -> None:
    """Equal reasons are told once, in the plural; the sentence for a single agent names it."""
    assert said("gtk>=3", ("builder7", GTK2)) == ["builder7 has gtk 2.24, needs gtk>=3"]
    assert said("wx", ("a", GTK2), ("b", GTK3), ("c", ())) == ["3 agents lack wx"]
    assert said("gtk>=4", ("a", GTK3), ("b", GTK3)) == ["2 agents have gtk 3.24, need gtk>=4"]


def test_the_nearest_comes_first() -> None:
    """Who lacks one thing comes before those who lack two, however many they are."""
    assert said("gtk>=3 wx", ("a", GTK2), ("b", GTK2), ("c", GTK3)) == [
        "c lacks wx",
        "2 agents have gtk 2.24, need gtk>=3, lack wx",
    ]


def test_those_that_qualify_miss_nothing() -> None:
    """Their state may keep them from it, but not what they can."""
    assert said("gtk", ("a", GTK3), ("b", ())) == ["b lacks gtk"]
