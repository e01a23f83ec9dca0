"""A search moves as its table says, asks the bridge for what counts then, and says once how it ends."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any, get_args

import pytest

from contracts.machines.transitions import Table, words
from contracts.requirements.sets import Requirements
from master_bridge.buildbot.search import search
from master_bridge.buildbot.search.preference import Preference, Wanted, preference
from master_bridge.buildbot.search.search import TABLE, Search, SearchState

GTK, QT = Requirements.of(["gtk"]), Requirements.of(["qt"])
WARM = preference(["gtk"], ["warm"], 20.0)
CUES: list[search.Cue] = [
    search.Begin(), search.PatienceOver(), search.Rerouted(GTK, seal=False), search.Rerouted(QT, seal=False),
    search.Rerouted(QT, seal=True), search.Found(), search.AgentLost(), search.AgentLost(waited=True),
    search.GivenBack(), search.Refused(), search.Left(keep=False), search.Left(keep=True), search.Ended(),
]  # fmt: skip
ENDS = (search.Left, search.Ended)


def sought(*cues: search.Cue, prefers: bool = True) -> tuple[Search, list[search.Action]]:
    """A search to which these have happened, and what the last of them made it do."""
    made = Search(Wanted(requirements=GTK, preference=WARM if prefers else None))
    done: list[search.Action] = []
    for cue in cues:
        done = made.handle(cue)
    return made, done


def test_what_is_preferred_is_more_than_what_is_required() -> None:
    """It includes that; nothing more is no preference."""
    assert preference(["gtk"], ["warm"], 20.0) == Preference(
        requirements=Requirements.of(["gtk", "warm"]), seconds=20.0
    )
    assert preference(["gtk", "warm"], ["gtk"], 20.0) is None
    assert preference(["gtk"], [], 20.0) is None


def play(table: Any = TABLE) -> tuple[Counter[tuple[SearchState, type, SearchState]], list[str]]:
    """Anything that may happen, in any order: what was seen, and what the table does not allow."""
    dice, seen, faults = random.Random(1), Counter[tuple[SearchState, type, SearchState]](), []

    def watch(before: SearchState, cue: type, after: SearchState) -> None:
        seen[before, cue, after] += 1
        if not table.allows(before, cue, after):
            faults.append(f"{before.name} became {after.name} upon {words(cue)}")

    weights = [0.2 if isinstance(cue, ENDS) else 1.0 for cue in CUES]
    for _ in range(500):
        made = Search(Wanted(requirements=GTK, preference=WARM if dice.random() < 0.7 else None))
        made.watch = watch
        waits = False
        for cue in dice.choices(CUES, weights, k=20):
            waits = _waits(made.handle(cue), waits)
            assert waits == (made.state is SearchState.PREFERS) or isinstance(cue, search.PatienceOver)
            waits = made.state is SearchState.PREFERS
    return seen, faults


def _waits(done: list[search.Action], waits: bool) -> bool:
    """Does its alarm run, after these?"""
    for action in done:
        if isinstance(action, search.Wait):
            assert not waits, "two alarms"
            waits = True
        elif isinstance(action, search.WaitNoMore):
            assert waits, "no alarm to end"
            waits = False
    return waits


def test_what_happens_is_what_the_table_says_and_all_of_it_happens() -> None:
    """No move beside it; no row for what never is; and an alarm runs just while it prefers."""
    seen, faults = play()
    assert faults == []
    assert {f"{b.name} {words(c)} {a.name}" for b, c, a in TABLE.moves() - seen.keys()} == set()


def test_every_cue_is_in_the_table() -> None:
    """What can happen has a line, and what has a line can happen."""
    assert set(TABLE.inputs) == set(get_args(search.Cue))


def test_a_wrong_row_is_found() -> None:
    """A planted one."""
    cell = SearchState.PREFERS, search.PatienceOver
    rows = {**TABLE.rows, cell: replace(TABLE.rows[cell], to={SearchState.OVER: ""})}
    wrong: Table[SearchState, type, object] = Table(
        start=TABLE.start, states=TABLE.states, inputs=TABLE.inputs, rows=rows, ignored=TABLE.ignored
    )
    assert "PREFERS became SEEKS upon patience over" in play(wrong)[1]


def test_who_prefers_asks_for_that_first_and_then_for_what_is_required() -> None:
    """Twenty seconds later."""
    made, done = sought(search.Begin())
    assert done == [search.Ask(), search.Wait(20.0)]
    assert made.requirements.signature != GTK.signature
    assert made.handle(search.PatienceOver()) == [search.AskElsewhere()]
    assert made.requirements.signature == GTK.signature


def test_an_agent_that_was_lost_before_buildbot_heard_of_it_is_sought_as_the_first() -> None:
    """A step that has waited takes any that has what is required."""
    again, _ = sought(search.Begin(), search.Found(), search.AgentLost())
    assert again.handle(search.Begin()) == [search.Ask(), search.Wait(20.0)]
    again, _ = sought(search.Begin(), search.Found(), search.AgentLost(waited=True))
    assert again.handle(search.Begin()) == [search.Ask()]
    assert again.requirements.signature == GTK.signature


@pytest.mark.parametrize(
    ("before", "how"),
    [([], "withdraw"), ([search.Begin()], "withdraw"), ([search.Begin(), search.Found()], "done")],
    ids=["new", "asked", "found"],
)
def test_the_bridge_is_told_once_how_it_ends(before: list[search.Cue], how: str) -> None:
    """Withdrawn while it sought, done with what was found; kept where Buildbot will ask again."""
    made, done = sought(*before, search.Left(keep=False), prefers=False)
    assert done == [search.Leave(how)]  # type: ignore[arg-type]  # one of its words
    assert made.handle(search.Left(keep=False)) == []
    assert sought(*before, search.Left(keep=True), prefers=False)[1] == [search.Leave("keep")]


def test_a_configuration_that_asks_for_the_same_moves_nothing() -> None:
    """Neither the offer nor what is preferred; another one ends the preference."""
    made, done = sought(search.Begin(), search.Rerouted(GTK, seal=False))
    assert (done, made.state) == ([], SearchState.PREFERS)
    assert made.handle(search.Rerouted(GTK, seal=True)) == [search.WaitNoMore(), search.AskElsewhere()]
    assert (made.state, made.seal) == (SearchState.SEEKS, True)
