"""The battery's rules, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from master_bridge.core.battery import journal
from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.bounds import (
    NARROWINGS_MAX,
    SHARD_BYTES_MAX,
    SHARD_UNITS_UNKNOWN,
    UNIT_BYTES_MAX,
    wrong_unit,
)  # fmt: skip
from master_bridge.core.battery.events import (
    Action,
    CancelShard,
    Fleet,
    OfferShard,
    Outcome,
    Over,
    Shard,
    ShardEnded,
    ShardLost,
    ShardTaken,
    Stopped,
    UnitReport,
)  # fmt: skip
from master_bridge.core.battery.progress import progress, summary

PASSED = UnitReport(outcome="passed", seconds=1.0)
FAILED = UnitReport(outcome="failed", seconds=1.0, detail="assert 1 == 2")


def shards(actions: Sequence[Action]) -> list[Shard]:
    return [action.shard for action in actions if isinstance(action, OfferShard)]


def battery(units: Sequence[str], *, slots: int = 1, retries: int = 0, seconds: float = 1.0) -> BatteryMachine:
    """With right timings, and its first offers made."""
    made = BatteryMachine(units, timings=dict.fromkeys(units, seconds), plan=Plan(retries=retries))
    made.handle(Fleet(slots=slots), 0.0)
    return made


def end(made: BatteryMachine, number: int, reports: dict[str, UnitReport], now: float = 10.0) -> list[Action]:
    made.handle(ShardTaken(shard=number, agent="a1"), now - 5)
    return made.handle(ShardEnded(shard=number, seconds=5.0, reports=reports), now)


def test_longest_first_and_smaller_towards_the_end() -> None:
    """The first shard has the longest units; each further one is no longer than the one before."""
    units = [f"t{number}" for number in range(100)]
    made = BatteryMachine(units, timings={unit: 1.0 + place % 10 for place, unit in enumerate(units)}, plan=Plan())
    seen: list[Shard] = shards(made.handle(Fleet(slots=4), 0.0))
    for number in range(1, 1000):
        if number not in made.open:
            break
        shard = made.open[number].shard
        reports = {unit: UnitReport(outcome="passed", seconds=made.estimates.weight(unit)) for unit in shard.units}
        made.handle(ShardTaken(shard=number, agent="a1"), 0.0)
        seen += shards(made.handle(ShardEnded(shard=number, seconds=shard.seconds or 0, reports=reports), 1.0))
    assert len(made.results) == 100
    weights = [made.estimates.weight(shard.units[0]) for shard in seen]
    assert weights == sorted(weights, reverse=True)
    sizes = [shard.seconds or 0.0 for shard in seen]
    assert sizes[0] > 4 * sizes[-1]


def test_unknown_units_take_the_mean_and_small_shards_come_first() -> None:
    """Of a battery that nobody has run no shard is large before one has ended."""
    made = BatteryMachine([f"t{n}" for n in range(5000)], timings={}, plan=Plan(target_seconds=10))
    first = shards(made.handle(Fleet(slots=2), 0.0))
    assert {len(shard.units) for shard in first} == {SHARD_UNITS_UNKNOWN}
    assert {shard.seconds for shard in first} == {None}
    more = shards(end(made, 1, dict.fromkeys(first[0].units, PASSED)))
    assert len(more[0].units) == 10, "a second each, as reported"
    known = BatteryMachine(["a", "b", "c"], timings={"a": 2.0, "b": 4.0}, plan=Plan())
    assert known.estimates.weight("c") == 3.0


def test_a_shard_that_is_lost_twice_is_halved_until_the_unit_that_does_it_stands_alone() -> None:
    """All others have results; seven machines find one unit of 32."""
    units = [f"t{number}" for number in range(32)]
    made = battery(units, seconds=0.01)
    lost = 0
    while made.open:
        number = min(made.open)
        inside = made.open[number].shard.units
        made.handle(ShardTaken(shard=number, agent="a1"), 1.0)
        if "t7" in inside:
            lost += 1
            made.handle(ShardLost(shard=number, reason="silent"), 2.0)
        else:
            made.handle(ShardEnded(shard=number, seconds=1.0, reports=dict.fromkeys(inside, PASSED)), 2.0)
    assert lost <= 7
    assert made.results["t7"].outcome is Outcome.KILLER
    assert "silent" in made.results["t7"].detail
    assert {r.outcome for u, r in made.results.items() if u != "t7"} == {Outcome.PASSED}
    assert "1 failed, 1 of them ended their machines (t7)" in summary(made)


def test_retries() -> None:
    """A unit that fails, then passes, is flaky; one that fails each time is failed."""
    made = battery(["a", "b"], retries=2)
    for number in range(1, 10):
        if number not in made.open:
            break
        units = made.open[number].shard.units
        runs = {unit: FAILED if unit == "b" or number < 3 else PASSED for unit in units}
        actions = end(made, number, runs)
    assert isinstance(actions[-1], Over)
    assert (made.results["a"].outcome, made.results["a"].runs) == (Outcome.FLAKY, 2)
    assert "assert 1 == 2" in made.results["a"].detail
    assert (made.results["b"].outcome, made.results["b"].runs) == (Outcome.FAILED, 3)
    assert summary(made) == "2 units, 1 failed, 1 flaky (b)"


def test_what_no_report_explains_is_narrowed_within_bounds() -> None:
    """A shard that failed as a whole is divided; so many times, that all of a large battery may fail."""
    units = [f"t{number}" for number in range(1000)]
    made = battery(units, seconds=0.001)
    runs = 0
    while made.open:
        runs += 1
        end(made, min(made.open), {})
    assert {result.outcome for result in made.results.values()} == {Outcome.FAILED}
    assert runs <= 2 * NARROWINGS_MAX + 40


def test_stop() -> None:
    """All shards are cancelled, what waits is dropped, and it is over when the last one is."""
    made = battery([f"t{number}" for number in range(100)], slots=2)
    made.handle(ShardTaken(shard=1, agent="a1"), 1.0)
    numbers = set(made.open)
    cancelled = made.handle(Stopped(), 2.0)
    assert {action.shard for action in cancelled if isinstance(action, CancelShard)} == numbers
    for number in sorted(numbers):
        last = made.handle(ShardLost(shard=number, reason="stopped"), 3.0)
    assert last == [Over()]
    assert "not run" in summary(made)


def test_what_comes_twice_or_late_changes_nothing() -> None:
    """A shard that is over is over."""
    made = battery(["a"])
    assert isinstance(end(made, 1, {"a": PASSED})[-1], Over)
    assert end(made, 1, {"a": FAILED}) == []
    assert made.handle(ShardLost(shard=1, reason="late"), 11.0) == []
    assert made.handle(ShardLost(shard=99, reason="unknown"), 11.0) == []


def test_bounds_of_shards_and_units() -> None:
    """Long names: a shard is as large as a message may be; a name that is longer than that is none."""
    units = [f"{number:04}" + "x" * (UNIT_BYTES_MAX - 4) for number in range(300)]
    first = [item.shard for item in battery(units, seconds=0.0001).open.values()]
    assert max(sum(len(unit) + 1 for unit in shard.units) for shard in first) <= SHARD_BYTES_MAX
    assert all(wrong_unit(unit) is None for unit in units)
    for wrong in (units[0] + "x", "", "  ", "a\nb", "a\0b", "\udc80", 3, None):
        assert wrong_unit(wrong) is not None


def test_no_units() -> None:
    """Nothing to do is over at once."""
    assert BatteryMachine([], timings={}, plan=Plan()).handle(Fleet(slots=1), 0.0) == [Over()]


def test_progress_text() -> None:
    """As the issue has it."""
    made = battery([f"t{number}" for number in range(100)], slots=2)
    assert progress(made, 0.0) == "0 of 100 units, waits for agents"
    made.handle(ShardTaken(shard=1, agent="a1"), 0.0)
    reports = dict.fromkeys(made.open[1].shard.units, PASSED) | {"t0": FAILED}
    made.handle(ShardEnded(shard=1, seconds=16.0, reports=reports), 16.0)
    made.handle(ShardTaken(shard=2, agent="a2"), 16.0)
    text = progress(made, 16.0)
    assert text == "16 of 100 units, 1 failed, 1 agent, about 84 s left"


@pytest.mark.parametrize("line", ["", "no json", "[]", '{"v": 0}', '{"v": 1}', '{"v": 1, "key": 1, "units": 3}'])
def test_a_journal_that_is_none_begins_nothing(line: str) -> None:
    """Whatever stands in that file."""
    assert journal.read([line]) is None


def test_no_shard_is_shorter_than_its_program_takes_to_start() -> None:
    """Units of a tenth of a second, and a runner that starts for ten: few shards, not one for each unit."""
    units = [f"t{number}" for number in range(200)]
    made = BatteryMachine(units, timings=dict.fromkeys(units, 0.1), plan=Plan())
    made.handle(Fleet(slots=4), 0.0)
    seen = 0
    while made.open:
        number, now = min(made.open), 10.0 * seen
        seen += 1
        inside = made.open[number].shard.units
        reports = dict.fromkeys(inside, UnitReport(outcome="passed", seconds=0.1))
        made.handle(ShardTaken(shard=number, agent="a1"), now)
        made.handle(ShardEnded(shard=number, seconds=10.0 + 0.1 * len(inside), reports=reports), now + 10)
    assert seen <= 30


def test_what_is_left_is_divided_among_all_agents_though_a_program_starts_slowly() -> None:
    """A shard of all that is left would keep one agent busy and the others idle."""
    units = [f"t{number}" for number in range(12)]
    made = BatteryMachine(units, timings={}, plan=Plan())
    made.handle(Fleet(slots=3), 0.0)
    made.handle(ShardTaken(shard=1, agent="a1"), 0.0)
    reports = dict.fromkeys(made.open[1].shard.units, UnitReport(outcome="passed", seconds=0.1))
    before = set(made.open)
    left = made.left
    made.handle(ShardEnded(shard=1, seconds=30.0, reports=reports), 30.0)
    new = [made.open[number].shard for number in set(made.open) - before]
    assert new
    assert max(len(shard.units) for shard in new) <= max(1, left // 3)
