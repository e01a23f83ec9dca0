"""What an agent can do is worked out once, and comes to the same as `Requirements.satisfied_by`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Capability
from contracts.requirements.sets import Requirements
from master_bridge.fleet.abilities import Abilities

NAMES = ("gtk", "GTK", "python", "python2.3", "g++", "gtk+-3.0", "lib_x", "lib-x")
VERSIONS = (None, "2", "2.3", "2.3.9", "3.24", "weird")
REQUIREMENTS = (
    "any", "gtk", "gtk>=3", "gtk>=3,<4", "python2.3", "python2", "python2.3|gtk", "g++", "lib-x!=2",
    "python>=2.3 python2",
)  # fmt: skip


@given(
    st.lists(st.builds(Capability, name=st.sampled_from(NAMES), version=st.sampled_from(VERSIONS)), max_size=6),
    st.lists(st.sampled_from(REQUIREMENTS), max_size=3),
)
def test_it_meets_what_the_requirements_say(capabilities: list[Capability], texts: list[str]) -> None:
    abilities, wanted = Abilities(), Requirements.of(texts)
    abilities.learn(capabilities)
    for _ in range(2):
        assert abilities.meet(wanted) == wanted.satisfied_by(capabilities)
    assert wanted.misses(abilities.named(wanted)) == wanted.misses(capabilities)


def test_it_forgets_what_it_worked_out_when_something_else_is_told() -> None:
    abilities, gtk = Abilities(), Requirements.of(["gtk>=3"])
    assert abilities.learn([Capability(name="gtk", version="2")])
    assert not abilities.meet(gtk)
    assert not abilities.learn([Capability(name="gtk", version="2")])
    assert abilities.learn([Capability(name="gtk", version="3")])
    assert abilities.meet(gtk)
