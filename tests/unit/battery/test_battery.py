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
    FleetSize,
    Outcome,
    Over,
    Shard,
    ShardEnded,
    ShardLost,
    ShardTaken,
    StartShard,
    Stopped,
    UnitReport,
)  # fmt: skip
from master_bridge.core.battery.progress import progress, summary

PASSED = UnitReport(outcome="passed", seconds=1.0)
FAILED = UnitReport(outcome="failed", seconds=1.0, detail="assert 1 == 2")


def battery(units: Sequence[str], *, slots: int = 1, retries: int = 0, seconds: float = 1.0) -> BatteryMachine:
    """With right timings and equal agents, and its first offers made."""
    speeds = {f"a{number}": 1.0 for number in range(9)}
    made = BatteryMachine(units, timings=dict.fromkeys(units, seconds), speeds=speeds, plan=Plan(retries=retries))
    made.handle(FleetSize(slots=slots), 0.0)
    return made


def take(made: BatteryMachine, agent: str = "a1", now: float = 0.0) -> Shard:
    """`agent` comes for the oldest offer."""
    number = made.waiting[0]
    actions = made.handle(ShardTaken(shard=number, agent=agent), now)
    assert actions[0] == StartShard(shard=made.running[number].shard)
    return made.running[number].shard


def end(made: BatteryMachine, reports: dict[str, UnitReport], now: float = 10.0) -> list[Action]:
    """One more shard is run, with these results."""
    shard = take(made, now=now - 5)
    return made.handle(ShardEnded(shard=shard.number, seconds=5.0, reports=reports), now)


def test_longest_first_and_smaller_towards_the_end() -> None:
    """The first shard has the longest units; each further one is no longer than the one before."""
    units = [f"t{number}" for number in range(100)]
    made = BatteryMachine(units, timings={unit: 1.0 + place % 10 for place, unit in enumerate(units)}, plan=Plan())
    made.handle(FleetSize(slots=4), 0.0)
    seen: list[Shard] = []
    while made.waiting:
        shard = take(made)
        reports = {unit: UnitReport(outcome="passed", seconds=made.estimates.weight(unit)) for unit in shard.units}
        made.handle(ShardEnded(shard=shard.number, seconds=shard.seconds or 0, reports=reports), 1.0)
        seen.append(shard)
    assert len(made.results) == 100
    seen = seen[1:]  # the first was small, as that of an agent of which nothing is known
    weights = [made.estimates.weight(shard.units[0]) for shard in seen]
    assert weights == sorted(weights, reverse=True)
    sizes = [shard.seconds or 0.0 for shard in seen]
    assert sizes[0] > 4 * sizes[-1]


def test_unknown_units_take_the_mean_and_small_shards_come_first() -> None:
    """Of a battery that nobody has run no shard is large before one has ended."""
    made = BatteryMachine([f"t{n}" for n in range(5000)], timings={}, plan=Plan(target_seconds=10))
    made.handle(FleetSize(slots=2), 0.0)
    first = [take(made, "a1"), take(made, "a2")]
    assert {len(shard.units) for shard in first} == {SHARD_UNITS_UNKNOWN}
    assert {shard.seconds for shard in first} == {None}
    made.handle(ShardEnded(shard=1, seconds=32.0, reports=dict.fromkeys(first[0].units, PASSED)), 32.0)
    assert len(take(made, "a1", 32.0).units) == 10, "a second each, as reported"
    known = BatteryMachine(["a", "b", "c"], timings={"a": 2.0, "b": 4.0}, plan=Plan())
    assert known.estimates.weight("c") == 3.0


def test_a_shard_that_is_lost_twice_is_halved_until_the_unit_that_does_it_stands_alone() -> None:
    """All others have results; seven machines find one unit of 32."""
    units = [f"t{number}" for number in range(32)]
    made = battery(units, seconds=0.01)
    lost = 0
    while made.waiting:
        shard = take(made)
        if "t7" in shard.units:
            lost += 1
            made.handle(ShardLost(shard=shard.number, reason="silent"), 2.0)
        else:
            reports = dict.fromkeys(shard.units, PASSED)
            made.handle(ShardEnded(shard=shard.number, seconds=1.0, reports=reports), 2.0)
    assert lost <= 7
    assert made.results["t7"].outcome is Outcome.KILLER
    assert "silent" in made.results["t7"].detail
    assert {r.outcome for u, r in made.results.items() if u != "t7"} == {Outcome.PASSED}
    assert "1 failed, 1 of them ended their machines (t7)" in summary(made)


def test_retries() -> None:
    """A unit that fails, then passes, is flaky; one that fails each time is failed."""
    made = battery(["a", "b"], retries=2)
    ran: set[str] = set()
    while made.waiting:
        shard = take(made)
        reports = {unit: PASSED if unit == "a" and unit in ran else FAILED for unit in shard.units}
        ran |= reports.keys()
        actions = made.handle(ShardEnded(shard=shard.number, seconds=2.0, reports=reports), 3.0)
    assert isinstance(actions[-1], Over)
    assert (made.results["a"].outcome, made.results["a"].runs) == (Outcome.FLAKY, 2)
    assert "assert 1 == 2" in made.results["a"].detail
    assert (made.results["b"].outcome, made.results["b"].runs) == (Outcome.FAILED, 3)
    assert summary(made) == "2 units, 1 failed, 1 flaky (b)"


def test_a_summary_names_failures_in_the_order_of_units() -> None:
    """Whichever ended first: two runs with the same failures say the same."""
    made = battery(["a", "b", "c"], slots=3)
    for _ in range(3):
        take(made)
    for number in (3, 1, 2):
        unit = made.running[number].shard.units[0]
        made.handle(ShardEnded(shard=number, seconds=1.0, reports={unit: FAILED}), 1.0)
    assert summary(made) == "3 units, 3 failed (a, b, c)"


def test_what_no_report_explains_is_narrowed_within_bounds() -> None:
    """A shard that failed as a whole is divided; so many times, that all of a large battery may fail."""
    units = [f"t{number}" for number in range(1000)]
    made = battery(units, seconds=0.001)
    runs = narrowed = 0
    while made.waiting:
        runs += 1
        settled = len(made.results)
        end(made, {})
        narrowed += len(made.results) == settled
    assert narrowed == NARROWINGS_MAX
    assert {result.outcome for result in made.results.values()} == {Outcome.FAILED}
    assert runs <= 2 * NARROWINGS_MAX + 40


def test_stop() -> None:
    """All shards are cancelled, what waits is dropped, and it is over when the last one is."""
    made = battery([f"t{number}" for number in range(100)], slots=2)
    take(made, "a1")
    take(made, "a2")
    numbers = {*made.waiting, *made.running}
    cancelled = made.handle(Stopped(), 2.0)
    assert {action.shard for action in cancelled if isinstance(action, CancelShard)} == numbers
    assert made.waiting == []
    for number in (1, 2):
        last = made.handle(ShardLost(shard=number, reason="stopped"), 3.0)
    assert last == [Over()]
    assert "not run" in summary(made)


def test_what_comes_twice_or_late_changes_nothing() -> None:
    """A shard that is over is over."""
    made = battery(["a"])
    assert isinstance(end(made, {"a": PASSED})[-1], Over)
    assert made.handle(ShardEnded(shard=1, seconds=5.0, reports={"a": FAILED}), 11.0) == []
    assert made.handle(ShardLost(shard=1, reason="late"), 11.0) == []
    assert made.handle(ShardLost(shard=99, reason="unknown"), 11.0) == []


def test_bounds_of_shards_and_units() -> None:
    """Long names: a shard is as large as a message may be; a name that is longer than that is none."""
    units = [f"{number:04}" + "x" * (UNIT_BYTES_MAX - 4) for number in range(300)]
    first = take(battery(units, seconds=0.001))
    assert SHARD_BYTES_MAX - UNIT_BYTES_MAX <= sum(len(unit) + 1 for unit in first.units) <= SHARD_BYTES_MAX
    assert all(wrong_unit(unit) is None for unit in units)
    for wrong in (units[0] + "x", "", "  ", "a\nb", "a\0b", "\udc80", 3, None):
        assert wrong_unit(wrong) is not None


def test_no_units() -> None:
    """Nothing to do is over at once."""
    assert BatteryMachine([], timings={}, plan=Plan()).handle(FleetSize(slots=1), 0.0) == [Over()]


def test_progress_text() -> None:
    """As the issue has it."""
    made = battery([f"t{number}" for number in range(100)], slots=2)
    assert progress(made, 0.0) == "0 of 100 units, waits for agents"
    reports = dict.fromkeys(take(made, "a1").units, PASSED) | {"t0": FAILED}
    made.handle(ShardEnded(shard=1, seconds=20.0, reports=reports), 20.0)
    take(made, "a2", 20.0)
    text = progress(made, 20.0)
    assert text == "20 of 100 units, 1 failed, 1 agent, about 80 s left"


@pytest.mark.parametrize(
    "line", ["", "no json", "[]", "[" * 100_000, '{"v": 0}', '{"v": 1}', '{"v": 1, "key": 1, "units": 3}']
)
def test_a_journal_that_is_none_begins_nothing(line: str) -> None:
    """Whatever stands in that file."""
    assert journal.read([line]) is None


def test_no_shard_is_shorter_than_its_program_takes_to_start() -> None:
    """Units of a tenth of a second, and a runner that starts for ten: few shards, not one for each unit."""
    units = [f"t{number}" for number in range(200)]
    made = BatteryMachine(units, timings=dict.fromkeys(units, 0.1), plan=Plan())
    made.handle(FleetSize(slots=4), 0.0)
    seen = 0
    while made.waiting:
        now, shard = 10.0 * seen, take(made, now=10.0 * seen)
        seen += 1
        reports = dict.fromkeys(shard.units, UnitReport(outcome="passed", seconds=0.1))
        took = 10.0 + 0.1 * len(shard.units)
        made.handle(ShardEnded(shard=shard.number, seconds=took, reports=reports), now + 10)
    assert seen <= 30


def test_what_is_left_is_divided_among_all_agents_though_a_program_starts_slowly() -> None:
    """A shard of all that is left would keep one agent busy and the others idle."""
    units = [f"t{number}" for number in range(12)]
    made = BatteryMachine(units, timings={}, plan=Plan())
    made.handle(FleetSize(slots=3), 0.0)
    reports = dict.fromkeys(take(made, "a1").units, UnitReport(outcome="passed", seconds=0.1))
    left = made.left
    made.handle(ShardEnded(shard=1, seconds=30.0, reports=reports), 30.0)
    assert len(take(made, "a1", 30.0).units) <= max(1, left // 3)


def test_a_slow_agent_gets_less_and_only_what_it_ends_in_time() -> None:
    """The longest unit is left to others; a shard takes a slow agent no longer than a fast one."""
    units = {f"t{number}": 1.0 for number in range(60)} | {"long": 12.0}
    speeds = {"slow": 0.25, "fast": 1.0, "fast2": 1.0}
    made = BatteryMachine(units, timings=units, speeds=speeds, plan=Plan())
    made.handle(FleetSize(slots=3), 0.0)
    slow, fast = take(made, "slow"), take(made, "fast")
    assert "long" not in slow.units
    assert fast.units[0] == "long"
    assert 2 <= len(slow.units) <= 5
    assert slow.seconds == pytest.approx(4.0 * len(slow.units), rel=0.01)
    made.handle(ShardEnded(shard=slow.number, seconds=16.0, reports={}), 16.0)


def test_what_is_learnt_of_units_does_not_depend_on_who_ran_them() -> None:
    """A slow agent's times are divided by how slow it is; how slow it is, is learnt, too."""
    units = [f"t{number}" for number in range(40)]
    timings, speeds = dict.fromkeys(units, 2.0), {"slow": 0.25, "fast": 1.0}
    for known in (timings, {}):
        made = BatteryMachine(units, timings=known, speeds=speeds if known else {}, plan=Plan())
        made.handle(FleetSize(slots=2), 0.0)
        while made.waiting:
            for agent in ("slow", "fast"):
                if made.waiting:
                    shard = take(made, agent)
                    # all take half as long again as in past runs: that is the tests' doing, and no agent's
                    report = UnitReport(outcome="passed", seconds=3.0 / speeds[agent])
                    reports = dict.fromkeys(shard.units, report)
                    seconds = 3.0 * len(shard.units) / speeds[agent]
                    made.handle(ShardEnded(shard=shard.number, seconds=seconds, reports=reports), 1.0)
        learned, fast = made.learned()
        assert max(learned.values()) < 1.4 * min(learned.values())
        assert fast["fast"] / fast["slow"] == pytest.approx(4.0, rel=0.35)
        if known:
            assert learned["t0"] == pytest.approx(3.0, rel=0.1)


def test_offers_that_no_unit_is_left_for_are_cancelled() -> None:
    """An agent that came for one would find nothing to do."""
    made = battery(["a", "b", "c"], slots=8)
    assert len(made.waiting) == 3
    lost = made.waiting[0]
    made.handle(ShardLost(shard=lost, reason="nobody came"), 0.0)
    assert len(made.waiting) == 3, "another is made"
    assert lost not in made.waiting
    seen: list[Action] = []
    while made.waiting:
        number = made.waiting[0]
        seen += made.handle(ShardTaken(shard=number, agent="a1"), 0.0)
        assert len(made.waiting) <= made.left
    assert sum(len(item.shard.units) for item in made.running.values()) == 3
    assert made.handle(ShardTaken(shard=99, agent="a2"), 0.0) == []
    made.handle(ShardEnded(shard=99, seconds=1.0, reports={}), 0.0)
    assert sum(len(item.shard.units) for item in made.running.values()) == 3
