"""Forecasts of when a request starts: exact where nothing is left to chance, good on a day of a fleet."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master_bridge.core.forecast import (
    PLAYS,
    REQUESTS,
    ForecastStart,
    Held,
    Machine,
    Running,
    Waiting,
    _Durations,
    _free,
    _Play,
    forecast,
)
from tests.unit.bridge_core.day import Day


def waits(request: str, since: float = 0.0, signature: str = "gtk", builder: str = "b", priority: int = 0) -> Waiting:
    return Waiting(request=request, signature=signature, builder=builder, since=since, priority=priority)


GTK = frozenset({"gtk"})


def likely(found: dict[str, ForecastStart]) -> dict[str, float]:
    return {request: start.likely for request, start in found.items()}


def test_a_line_in_front_of_one_machine() -> None:
    """The first when the running build ends, then one after another, by priority and age."""
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=40.0),))
    line = [waits("young", 3.0), waits("old", 1.0), waits("urgent", 9.0, priority=1)]
    found = forecast(line, [machine], {"b": [100.0]}, Random(1))
    assert likely(found) == {"urgent": 60.0, "old": 160.0, "young": 260.0}
    assert all(start.early == start.likely == start.late for start in found.values())


def test_a_free_machine_takes_what_it_serves_at_once() -> None:
    machines = [Machine(serves=GTK, free=1), Machine(serves=frozenset({"wx"}), free=1)]
    found = forecast([waits("a", 1.0), waits("b", 2.0), waits("w", 3.0, "wx")], machines, {"b": [10.0]}, Random(1))
    assert likely(found) == {"a": 0.0, "b": 10.0, "w": 0.0}


def test_what_nobody_serves_has_no_start() -> None:
    assert forecast([waits("a", signature="mac")], [Machine(serves=GTK, free=1)], {}, Random(1)) == {}
    assert forecast([waits("a")], [], {}, Random(1)) == {}


def test_a_build_that_runs_longer_than_any_before() -> None:
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=500.0),))
    assert forecast([waits("a")], [machine], {"b": [100.0]}, Random(1))["a"].likely == 500.0


def test_an_unknown_builder_is_taken_for_one_of_the_others() -> None:
    machine = Machine(serves=GTK, free=0, running=(Running(builder="new", elapsed=0.0),))
    assert forecast([waits("a")], [machine], {"b": [70.0]}, Random(1))["a"].likely == 70.0
    assert forecast([waits("a")], [machine], {}, Random(1)) == {}


def test_who_waits_behind_an_unknown_builder_waits_as_long_as_for_one_of_the_others() -> None:
    found = forecast(
        [waits("a", builder="new"), waits("b", 1.0)], [Machine(serves=GTK, free=1)], {"b": [70.0]}, Random(1)
    )
    assert likely(found) == {"a": 0.0, "b": 70.0}


def test_a_line_moves_as_fast_as_builds_of_the_builder_in_front_of_it() -> None:
    took = {"b": [10.0], "slow": [1000.0]}
    found = forecast([waits("a"), waits("c", 1.0)], [Machine(serves=GTK, free=1)], took, Random(1))
    assert found["c"] == ForecastStart(early=10.0, likely=10.0, late=10.0)


def test_what_was_held_back_takes_as_long_as_builds_of_its_builder() -> None:
    took = {"b": [10.0], "slow": [1000.0]}
    held = Held(request="h", builder="b", since=0.0, places={"p": "gtk"}, after=0)
    found = forecast([waits("c", 1.0)], [Machine(serves=GTK, free=1)], took, Random(1), held=[held])
    assert likely(found) == {"h": 0.0, "c": 10.0}
    assert found["c"].early == found["c"].late


def test_uncertain_durations_give_a_wide_span() -> None:
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=0.0),))
    start = forecast([waits("a")], [machine], {"b": [10.0, 100.0, 1000.0]}, Random(1))["a"]
    assert start.early < start.late
    assert start.early <= start.likely <= start.late


def test_a_very_long_line_is_bounded() -> None:
    line = [waits(str(number), float(number)) for number in range(10 * REQUESTS)]
    found = forecast(line, [Machine(serves=GTK, free=1)], {"b": [1.0]}, Random(1))
    assert len(found) == REQUESTS
    assert "0" in found


@pytest.mark.parametrize("locked", [0, pytest.param(1, marks=pytest.mark.long)])
def test_on_a_day_of_a_fleet_it_is_right_within_a_quarter(locked: int) -> None:
    """10 columns, 40 agents, builds that take 1 to 20 minutes; those of one column need a lock. The median error,
    beside what the mean of a column's waits would have said."""
    day = Day(seed=20261128, columns=10, agents=40, locked=locked)
    day.run()
    errors, naive, inside = day.errors()
    assert len(errors) > 500, "a day with too little waiting says nothing"
    assert median(errors) <= 0.25
    assert median(errors) < median(naive) / 2
    assert sum(inside) / len(inside) > 0.6, "8 of 10 are meant to start between early and late"


def back(request: str, since: float, *places: str, signature: str = "gtk", priority: int = 0) -> Held:
    return Held(request=request, builder="b", since=since, places=dict.fromkeys(places, signature), priority=priority)


def test_what_buildbot_holds_back_starts_when_a_place_and_an_agent_are_free() -> None:
    """One of two places runs on the one agent for 60 s more, the other one waits for it: each gives its place to the
    first that is held back, which then waits behind those that have theirs."""
    agent = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=40.0, place="gtk-1"),))
    line = [replace(waits("first", 1.0), place="gtk-2")]
    held = [back("third", 3.0, "gtk-1", "gtk-2"), back("second", 2.0, "gtk-1", "gtk-2"), back("never", 1.0, "mac-1")]
    found = forecast(line, [agent], {"b": [100.0]}, Random(1), held)
    assert likely(found) == {"first": 60.0, "second": 160.0, "third": 260.0}


def test_an_idle_agent_takes_it_as_soon_as_it_has_its_place() -> None:
    """The place comes free on another agent, which may even take no work any more."""
    leaving = Machine(serves=frozenset(), free=0, running=(Running(builder="b", elapsed=70.0, place="gtk-1"),))
    idle = Machine(serves=GTK, free=1)
    held = [back("urgent", 9.0, "gtk-1", priority=1), back("old", 1.0, "gtk-1")]
    assert likely(forecast([], [leaving, idle], {"b": [100.0]}, Random(1), held)) == {"urgent": 30.0, "old": 130.0}


def test_what_waits_for_a_place_that_nobody_serves_has_no_start() -> None:
    agent = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=40.0, place="mac-1"),))
    held = [back("mac", 1.0, "mac-1", signature="os==darwin")]
    assert forecast([], [agent], {"b": [100.0]}, Random(1), held) == {}


def test_a_lock_comes_free_with_the_build_that_holds_it() -> None:
    """Its places are free; what it waits for is the lock, which the first in its line has until it has run."""
    holder = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=70.0, place="gtk-1"),))
    idle = Machine(serves=GTK, free=1)
    held = [back("second", 2.0, "lock db"), back("first", 1.0, "lock db"), back("other", 1.0, "lock tape")]
    found = forecast([], [holder, idle], {"b": [100.0]}, Random(1), held, {"gtk-1": ["lock db"]})
    assert likely(found) == {"first": 30.0, "second": 130.0}


def test_who_wants_a_lock_alone_waits_for_all_that_hold_it() -> None:
    holders = [
        Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=elapsed, place=place),))
        for place, elapsed in (("gtk-1", 70.0), ("gtk-2", 10.0))
    ]
    held = [replace(back("alone", 1.0, "lock db"), after=2)]
    found = forecast([], holders, {"b": [100.0]}, Random(1), held, {"gtk-1": ["lock db"], "gtk-2": ["lock db"]})
    assert likely(found) == {"alone": 90.0}


def test_a_place_and_a_lock_that_come_free_together_serve_two() -> None:
    holder = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=70.0, place="gtk-1"),))
    idle = Machine(serves=GTK, free=1)
    held = [back("locked", 1.0, "lock db"), back("crowded", 2.0, "gtk-1")]
    found = forecast([], [holder, idle], {"b": [100.0]}, Random(1), held, {"gtk-1": ["lock db"]})
    assert likely(found) == {"locked": 30.0, "crowded": 30.0}


def test_eight_of_ten_plays_lie_between_early_and_late() -> None:
    """Of plays that each draw one of as many times: those at a tenth, a half and nine tenths."""
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=0.0),))

    class InTurn(Random):
        """Draws one after the other."""

        drawn = 0

        def choice(self, seq: Any) -> Any:
            return seq[int(self.random() * len(seq))]

        def random(self) -> float:
            self.drawn += 1
            return ((self.drawn - 1) % PLAYS + 0.5) / PLAYS

    took = [float(number) for number in range(1, PLAYS + 1)]
    found = forecast([waits("a")], [machine], {"b": took}, InTurn())["a"]
    # each play draws what runs, and what the request itself takes
    draws = sorted(took[2 * play % PLAYS] for play in range(PLAYS))
    assert draws == took
    assert (found.early, found.likely, found.late) == (3.0, 13.0, 23.0)


def test_what_is_left_is_drawn_of_builds_that_took_longer() -> None:
    """Given that it has run as long as it has; of its own builder's where these are known."""
    for elapsed, rest in ((0.0, 10.0), (10.0, 50.0), (59.0, 1.0), (60.0, 60.0)):
        machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=elapsed),))
        took = {"b": [60.0, 10.0] if elapsed >= 10.0 else [10.0], "other": [1000.0], "none": []}
        assert forecast([waits("a")], [machine], took, Random(1))["a"].likely == rest


def test_of_those_that_took_longer_each_is_drawn() -> None:
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=30.0),))
    took = {"b": [60.0, 10.0, 20.0, 15.0, 70.0]}
    found = forecast([waits("a")], [machine], took, Random(1))["a"]
    assert (found.early, found.late) == (30.0, 40.0)
    assert found.likely in (30.0, 40.0)


def test_each_free_slot_takes_one() -> None:
    """And each that runs frees one when it ends, for another one that it serves."""
    machine = Machine(
        serves=GTK, free=2, running=(Running(builder="b", elapsed=4.0), Running(builder="b", elapsed=7.0))
    )
    line = [waits(name, float(number)) for number, name in enumerate("abcde")]
    found = likely(forecast(line, [machine], {"b": [10.0]}, Random(1)))
    assert found == {"a": 0.0, "b": 0.0, "c": 3.0, "d": 6.0, "e": 10.0}


def test_what_is_held_back_for_no_place_waits_for_an_agent_at_once() -> None:
    """In the line, by priority and age."""
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=4.0),))
    held = [replace(back("held", 2.0, "gtk-1"), after=0)]
    found = likely(forecast([waits("young", 3.0), waits("old", 1.0)], [machine], {"b": [10.0]}, Random(1), held))
    assert found == {"old": 6.0, "held": 16.0, "young": 26.0}


def test_what_is_held_back_waits_behind_those_of_its_priority() -> None:
    """Its place comes free with the first; whoever waits already is asked before it, unless it is less urgent."""
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=4.0, place="gtk-1"),))
    held = [back("held", 1.0, "gtk-1", priority=1)]
    line = [waits("urgent", 3.0, priority=2), waits("equal", 5.0, priority=1), waits("low", 0.0)]
    found = likely(forecast(line, [machine], {"b": [10.0]}, Random(1), held))
    assert found == {"urgent": 6.0, "equal": 16.0, "held": 26.0, "low": 36.0}


def test_many_that_are_held_back_are_bounded_too() -> None:
    """The first ones, by priority and age."""
    machine = Machine(serves=GTK, free=0, running=(Running(builder="b", elapsed=0.0, place="p"),))
    held = [back(str(number), float(-number), "p") for number in range(REQUESTS + 20)]
    found = forecast([], [machine], {"b": [1.0]}, Random(1), held)
    assert len(found) == REQUESTS
    assert str(REQUESTS + 19) in found
    assert "0" not in found


def test_agents_that_serve_none_who_waits_change_nothing() -> None:
    """Nor are they drawn for. One of them may give a place free, or a lock, for which somebody is held back."""
    drawn = 0

    class Counting(Random):
        def random(self) -> float:
            nonlocal drawn
            drawn += 1
            return super().random()

    others = [
        Machine(serves=frozenset({"wx"}), free=5, running=(Running(builder="b", elapsed=9.0, place=f"wx-{number}"),))
        for number in range(50)
    ]
    mine = Machine(serves=GTK | {"wx"}, free=0, running=(Running(builder="b", elapsed=40.0),))
    found = forecast([waits("a", 1.0), waits("b", 2.0)], [*others, mine], {"b": [100.0]}, Counting(1))
    assert likely(found) == {"a": 60.0, "b": 160.0}
    assert drawn == 3 * PLAYS, "of what runs, and of each that waits"
    held = [back("c", 3.0, "wx-7"), back("d", 4.0, "lock")]
    found = forecast([waits("a", 1.0)], [*others, mine], {"b": [100.0]}, Counting(1), held, {"wx-8": ["lock"]})
    assert likely(found) == {"a": 60.0, "c": 160.0, "d": 260.0}


def test_of_thousands_of_free_slots_as_many_are_looked_at_as_somebody_can_take() -> None:
    """Of each kind: those that serve the one serve nobody else."""
    both = GTK | {"wx"}
    kinds = [frozenset({"mac", "wx"}), GTK, both]
    machines = [Machine(serves=serves, free=2) for serves in kinds for _ in range(1_000)]
    line = [waits("mac", 1.0, "mac"), waits("wx", 2.0, "wx"), waits("gtk", 3.0)]
    assert likely(forecast(line, machines, {"b": [10.0]}, Random(1))) == {"mac": 0.0, "wx": 0.0, "gtk": 0.0}
    assert len(list(_free(machines, 3))) == 9
    few = [Machine(serves=GTK, free=1), Machine(serves=both, free=1), Machine(serves=GTK, free=9)]
    assert list(_free(few, 3)) == [(0.0, 0, ""), (0.0, 1, ""), (0.0, 2, ""), (0.0, 2, "")]


@given(
    kinds=st.lists(st.sampled_from(("a", "b", "ab", "c")), min_size=1, max_size=12),
    wants=st.lists(st.sampled_from("abd"), min_size=1, max_size=5),
    back_of=st.lists(st.sampled_from(("p0", "p1", "lock")), max_size=3),
)
def test_no_agent_that_is_left_out_would_have_changed_a_start(
    kinds: list[str], wants: list[str], back_of: list[str]
) -> None:
    """All agents are as busy and as free as others; played with all of them, and with those alone that can matter."""
    machines = [
        Machine(
            serves=frozenset(kind),
            free=number % 3,
            running=(Running(builder="b", elapsed=float(number % 10), place=f"p{number}" if number < 2 else ""),),
        )
        for number, kind in enumerate(kinds)
    ]
    line = [waits(f"w{number}", float(number), signature) for number, signature in enumerate(wants)]
    held = [back(f"h{number}", 100.0 + number, place, signature="a") for number, place in enumerate(back_of)]
    frees = {"p1": ["lock"]}
    found = forecast(line, machines, {"b": [20.0]}, Random(1), held, frees)
    served = frozenset().union(*kinds)
    durations = _Durations({"b": [20.0]}, Random(1))
    everybody = _Play(
        [each for each in line if each.signature in served],
        [each for each in held if "a" in served],
        machines,
        [(0.0, number, "") for number, machine in enumerate(machines) for _ in range(machine.free)],
        [durations.rest(running, number) for number, machine in enumerate(machines) for running in machine.running],
        durations,
        frees,
    )
    assert likely(found) == dict(everybody.starts())
