"""What is told of a battery, word for word, and why a text can be no unit."""

from __future__ import annotations

import pytest

from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.bounds import UNIT_BYTES_MAX, wrong_unit
from master_bridge.core.battery.events import FleetSize, ShardEnded, ShardLost, Stopped, UnitReport
from master_bridge.core.battery.progress import duration, progress, seconds_left, summary

from .test_battery import FAILED, PASSED, battery, end, take

SKIPPED = UnitReport(outcome="skipped")


# ---- while it runs


def test_one_unit_is_no_units_and_who_waits_says_for_what() -> None:
    """The caller knows better than "agents" what it waits for."""
    made = battery(["a"])
    assert progress(made, 0.0) == "0 of 1 unit, waits for agents"
    assert progress(made, 0.0, "waits for its lock") == "0 of 1 unit, waits for its lock"


def test_agents_are_counted_once_each() -> None:
    """However many shards they run."""
    made = battery([f"t{number}" for number in range(100)], slots=3)
    take(made, "a1")
    assert progress(made, 0.0) == "0 of 100 units, 1 agent"
    take(made, "a1")
    assert progress(made, 0.0) == "0 of 100 units, 1 agent"
    take(made, "a2")
    assert progress(made, 0.0) == "0 of 100 units, 2 agents"


def test_what_runs_counts_as_far_as_it_is_expected_to_be() -> None:
    """Ten units of a second each on one agent, which ends four in four seconds and then takes two more."""
    made = battery([f"t{number}" for number in range(10)])
    assert seconds_left(made, 5.0) is None, "nobody has begun"
    first = take(made)
    assert len(first.units) == 4
    assert seconds_left(made, 3.0) is None, "nothing has ended"
    made.handle(ShardEnded(shard=1, seconds=4.0, reports=dict.fromkeys(first.units, PASSED)), 4.0)
    assert seconds_left(made, 0.0) is None, "a clock that was set back"
    assert seconds_left(made, 4.0) == pytest.approx(6.0)
    second = take(made, now=4.0)
    assert len(second.units) == 2
    assert seconds_left(made, 5.0) == pytest.approx(5.0)
    assert seconds_left(made, 10.0) == pytest.approx(4.0 * 10 / 6), "it takes longer than expected"


def test_nothing_is_left_when_all_has_ended() -> None:
    made = battery(["t0"])
    made.handle(ShardEnded(shard=take(made).number, seconds=4.0, reports={"t0": PASSED}), 4.0)
    assert seconds_left(made, 5.0) == 0.0


def test_a_unit_counts_for_what_it_was_expected_to_take() -> None:
    """One of a second has ended, one of nine seconds has not."""
    made = BatteryMachine(["long", "short"], timings={"long": 9.0, "short": 1.0}, plan=Plan(target_seconds=0.5))
    made.handle(FleetSize(slots=1), 0.0)
    assert take(made).units == ("short",)
    made.handle(ShardEnded(shard=1, seconds=1.0, reports={"short": PASSED}), 1.0)
    assert seconds_left(made, 1.0) == pytest.approx(9.0)


def test_what_runs_on_a_fast_agent_counts_for_more() -> None:
    """At its speed in past runs: a slow agent has ended six units in twelve seconds."""
    units = [f"t{number}" for number in range(50)]
    made = BatteryMachine(units, timings=dict.fromkeys(units, 1.0), speeds={"s": 0.5, "f": 2.0}, plan=Plan())
    made.handle(FleetSize(slots=2), 0.0)
    slow = take(made, "s")
    report = UnitReport(outcome="passed", seconds=2.0)
    made.handle(ShardEnded(shard=1, seconds=12.0, reports=dict.fromkeys(slow.units, report)), 12.0)
    assert len(slow.units) == 6
    assert take(made, "f", 12.0).number == 2
    assert seconds_left(made, 14.0) == pytest.approx((50 - 6 - 4) * 14.0 / (6 + 4))


def test_shards_of_unknown_length_do_not_count_before_they_end() -> None:
    """Two agents have six of a hundred units each; one has ended them."""
    made = BatteryMachine([f"t{number}" for number in range(100)], timings={}, plan=Plan())
    made.handle(FleetSize(slots=2), 100.0)
    first, second = take(made, "a1", now=100.0), take(made, "a2", now=100.0)
    assert (len(first.units), len(second.units)) == (6, 6)
    made.handle(ShardEnded(shard=1, seconds=6.0, reports=dict.fromkeys(first.units, PASSED)), 106.0)
    assert seconds_left(made, 106.0) == pytest.approx(94.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 s"), (1.6, "2 s"), (99.4, "99 s"), (99.9, "100 s"), (100.0, "2 min"), (5999.0, "100 min"),
        (6000.0, "1.7 h"), (36000.0, "10.0 h"), (36e6, "10000.0 h"),
    ],
)  # fmt: skip
def test_a_duration_has_two_or_three_digits(seconds: float, text: str) -> None:
    """And nothing takes no time at all."""
    assert duration(seconds) == text


# ---- when it is over


def test_a_summary_counts_what_is_not_plainly_good() -> None:
    """Those that passed are the rest."""
    made = battery(["a", "b", "c", "d"])
    end(made, {"a": SKIPPED})
    assert summary(made) == "4 units, 1 skipped, 3 not run"
    made.handle(Stopped(), 11.0)
    assert summary(made) == "4 units, 1 skipped, 3 not run"
    assert summary(battery(["a"])) == "1 unit, 1 not run"


def test_reports_that_could_not_be_used_are_counted() -> None:
    """Each of them, also beyond those that are shown."""
    made = battery(["a", "b"])
    for count in (1, 2):
        shard = take(made)
        reports = dict.fromkeys(shard.units, PASSED)
        made.handle(ShardEnded(shard=count, seconds=1.0, reports=reports, warning="no XML"), 1.0)
        if count == 1:
            assert summary(made) == "2 units, 1 not run, 1 report could not be used"
    assert summary(made) == "2 units, 2 reports could not be used"


def test_a_summary_names_some_and_counts_the_rest() -> None:
    """Five of those that are bad, in the order of units."""
    for count, text in (
        (5, "5 units, 5 failed (t0, t1, t2, t3, t4)"),
        (7, "7 units, 7 failed (t0, t1, t2, t3, t4 and 2 more)"),
    ):
        made = battery([f"t{number}" for number in range(count)], seconds=0.1)
        while made.waiting:
            shard = take(made)
            made.handle(ShardEnded(shard=shard.number, seconds=1.0, reports=dict.fromkeys(shard.units, FAILED)), 1.0)
        assert summary(made) == text


def test_long_names_are_shown_by_their_ends() -> None:
    """Where they differ; and what a terminal would obey is not shown as it is."""
    for name, text in (("x" * 60, "x" * 60), ("x" * 60 + "y", "…" + "x" * 59 + "y"), ("a\x1b[2J", "a\\x1b[2J")):
        made = battery([name])
        end(made, {name: FAILED})
        assert summary(made) == f"1 unit, 1 failed ({text})"


def test_units_that_ended_their_machines_are_told_apart() -> None:
    """They have failed as well."""
    made = battery(["a", "b"], retries=1)
    ran: set[str] = set()
    while made.waiting:
        shard = take(made)
        (unit,) = shard.units
        if unit == "a":
            made.handle(ShardLost(shard=shard.number, reason="silent"), 1.0)
        else:
            report = PASSED if unit in ran else FAILED
            ran.add(unit)
            made.handle(ShardEnded(shard=shard.number, seconds=1.0, reports={unit: report}), 1.0)
    assert summary(made) == "2 units, 1 failed, 1 of them ended their machines, 1 flaky (a)"
    assert progress(made, 1.0).startswith("2 of 2 units, 1 failed, 1 of them ended their machines, 1 flaky, waits for")


# ---- what can be no unit


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        (3, "a unit is a text, not 3"),
        ("", "a unit has no name"),
        (" \t", "a unit has no name"),
        ("a\nb", "unit 'a\\nb': a name without line ends and NUL"),
        ("a\0b", "unit 'a\\x00b': a name without line ends and NUL"),
        ("x" * 150 + "\n", f"unit '{'x' * 100}': a name without line ends and NUL"),
        ("\udc80" + "x" * 150, f"unit '\\udc80{'x' * 99}' is not Unicode text"),
        ("é" * 2049, f"unit '{'é' * 100}'…: 4098 bytes, more than 4096"),
        ("é" * 2048, None),
        ("x" * UNIT_BYTES_MAX, None),
    ],
    ids=["number", "empty", "blank", "line end", "NUL", "long with line end", "no Unicode", "long", "é", "x"],
)
def test_why_a_text_is_no_unit(unit: object, why: str | None) -> None:
    """Shown as far as a line goes."""
    assert wrong_unit(unit) == why


def test_an_object_that_is_no_text_is_not_shown_in_full() -> None:
    """It may be of any size."""
    assert len(wrong_unit(["x"] * 1000) or "") == 300
