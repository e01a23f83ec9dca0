"""What a battery remembers of its shards and units, and in which order what is left is offered again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from master_bridge.core.battery import journal
from master_bridge.core.battery.battery import FIRST_MAX, BatteryMachine, Plan
from master_bridge.core.battery.bounds import DETAIL_SHORT, DETAILS_MAX, OPEN_MAX, PROBLEMS_MAX, SPARE_OFFERS
from master_bridge.core.battery.events import (
    CancelShard,
    FleetSize,
    OfferShard,
    Outcome,
    Over,
    Settled,
    ShardEnded,
    ShardLost,
    ShardReturned,
    ShardSpan,
    ShardTaken,
    StartShard,
    Stopped,
    UnitReport,
    UnitResult,
)  # fmt: skip
from master_bridge.core.battery.sizes import share

from .test_battery import FAILED, PASSED, battery, end, take

UNKNOWN = UnitReport(outcome="unknown", seconds=2.0, detail="exit status 3")


def singly(count: int, retries: int = 0) -> BatteryMachine:
    """A unit a shard, for an agent of usual speed."""
    units = [f"t{number}" for number in range(count)]
    plan = Plan(target_seconds=0.5, retries=retries)
    made = BatteryMachine(units, timings=dict.fromkeys(units, 1.0), speeds={"a1": 1.0, "a2": 1.0}, plan=plan)
    made.handle(FleetSize(slots=1), 0.0)
    return made


# ---- offers


def test_there_is_an_offer_for_each_free_agent_and_some_more() -> None:
    """For those that become free, or come late."""
    made = battery([f"t{number}" for number in range(100)], slots=3)
    assert made.waiting == [1, 2, 3, 4, 5]
    assert SPARE_OFFERS == 2
    take(made)
    assert made.waiting == [2, 3, 4, 5], "one agent fewer is free"
    assert made.handle(FleetSize(slots=5), 0.0) == [OfferShard(shard=6), OfferShard(shard=7)]
    assert made.handle(FleetSize(slots=2), 0.0) == [], "offers are not taken back while there are units"
    none = battery([f"t{number}" for number in range(100)], slots=-5)
    assert none.waiting == [1, 2]


def test_spare_offers_are_made_before_anything_is_known_of_the_fleet() -> None:
    """Whoever qualifies may come."""
    made = BatteryMachine(["a", "b", "c", "d"], timings={}, plan=Plan())
    assert made.handle(ShardLost(shard=9, reason="unknown"), 0.0) == [OfferShard(shard=1), OfferShard(shard=2)]


def test_what_runs_on_a_fast_agent_is_soon_no_part_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the size of the next shard: two seconds of an agent twice as fast are four of what it has."""
    told: list[float] = []

    def note(*args: Any, seconds_left: float, **named: Any) -> Any:
        told.append(seconds_left)
        return share(*args, seconds_left=seconds_left, **named)

    monkeypatch.setattr("master_bridge.core.battery.battery.share", note)
    units = [f"t{number}" for number in range(100)]
    made = BatteryMachine(units, timings=dict.fromkeys(units, 1.0), speeds={"f": 2.0, "s": 0.5}, plan=Plan())
    made.handle(FleetSize(slots=2), 0.0)
    assert len(take(made, "f").units) > 4
    take(made, "s", 2.0)
    assert told[-1] == pytest.approx((100 - 4) / (2.0 + 0.5))


def test_offers_are_bounded() -> None:
    """With those that run, whatever the fleet's size."""
    made = battery([f"t{number}" for number in range(600)], slots=10_000, seconds=100.0)
    assert len(made.waiting) == OPEN_MAX
    take(made)
    made.handle(FleetSize(slots=10_000), 0.0)
    assert len(made.waiting) == OPEN_MAX - 1


def test_offers_beyond_the_units_that_are_left_are_cancelled_the_newest_first() -> None:
    """An agent may be on its way for the oldest."""
    made = battery(["a", "b", "c", "d"], seconds=0.125)
    assert made.waiting == [1, 2, 3]
    start, *cancelled = made.handle(ShardTaken(shard=1, agent="a1"), 0.0)
    assert start == StartShard(shard=made.running[1].shard)
    assert made.running[1].shard.units == ("a", "b", "c", "d")
    assert cancelled == [CancelShard(shard=3), CancelShard(shard=2)]
    made.handle(ShardLost(shard=1, reason="silent"), 0.0)
    assert made.left == 4
    assert made.waiting == [4, 5, 6]


def test_what_is_over_does_nothing() -> None:
    """Not even for its fleet."""
    made = battery(["a"])
    assert end(made, {"a": PASSED})[-1] == Over()
    assert made.handle(FleetSize(slots=9), 20.0) == []
    assert made.handle(Stopped(), 20.0) == []
    assert not made.stopped


# ---- a shard's stay on an agent


def test_each_stay_of_a_shard_is_remembered() -> None:
    """Who ran how many of which when, for a picture."""
    made = battery(["a", "b", "c", "d", "e"], seconds=0.1)
    first = take(made, "a1", 1.0)
    made.handle(ShardLost(shard=first.number, reason="silent"), 3.0)
    again = take(made, "a2", 4.0)
    assert (again.units, again.losses, again.seconds) == (first.units, 1, pytest.approx(0.1 * len(first.units)))
    assert first.losses == 0
    reports = {first.units[0]: FAILED}
    made.handle(ShardEnded(shard=again.number, seconds=1.5, reports=reports), 6.0)
    count = len(first.units)
    assert made.spans == [
        ShardSpan(shard=first.number, agent="a1", began=1.0, ended=3.0, units=count, failed=0, lost=True),
        ShardSpan(shard=again.number, agent="a2", began=4.0, ended=6.0, units=count, failed=count, lost=False),
    ]
    assert made.counts.lost == 1
    assert made.began == 1.0


def test_passed_and_skipped_units_are_not_counted_as_failed() -> None:
    """In the picture of a shard."""
    made = battery([f"t{number}" for number in range(8)], seconds=0.1)
    shard = take(made)
    assert len(shard.units) > 2
    reports = dict.fromkeys(shard.units, PASSED) | {
        shard.units[0]: FAILED,
        shard.units[1]: UnitReport(outcome="skipped"),
    }
    made.handle(ShardEnded(shard=1, seconds=1.0, reports=reports), 1.0)
    assert [span.failed for span in made.spans] == [1]
    assert (made.counts.passed, made.counts.skipped, made.counts.failed) == (len(shard.units) - 2, 1, 1)
    assert made.counts.settled == len(shard.units)


def test_a_shard_that_is_taken_again_goes_on() -> None:
    """After a restart of the master; another agent begins it anew."""
    made = battery([f"t{number}" for number in range(100)], slots=2)
    shard = take(made, "a1", 1.0)
    assert made.handle(ShardTaken(shard=1, agent="a1"), 5.0) == [StartShard(shard=shard)]
    assert (made.running[1].since, made.running[1].agent) == (1.0, "a1")
    assert made.running[1].weight == pytest.approx(float(len(shard.units)))
    assert made.handle(ShardTaken(shard=1, agent="a2"), 6.0) == [StartShard(shard=shard)]
    assert (made.running[1].since, made.running[1].agent) == (6.0, "a2")
    assert made.handle(ShardTaken(shard=99, agent="a2"), 6.0) == []
    take(made, "a3", 7.0)
    assert made.began == 1.0


def test_a_shard_that_never_ran_is_offered_again_as_it_is() -> None:
    """Nothing is held against its units; one that waited is only forgotten."""
    made = battery([f"t{number}" for number in range(10)])
    first = take(made)
    made.handle(ShardLost(shard=1, reason="silent"), 1.0)
    lost_once = take(made)
    assert lost_once.losses == 1
    made.handle(ShardReturned(shard=lost_once.number, reason="no disk"), 2.0)
    assert len(made.spans) == 1
    again = take(made)
    assert (again.units, again.losses) == (first.units, 1)
    waiting = made.waiting[0]
    assert made.handle(ShardReturned(shard=waiting, reason="nobody"), 2.0) == [OfferShard(shard=made.waiting[-1])]
    assert waiting not in made.waiting
    made.handle(Stopped(), 3.0)
    assert made.handle(ShardReturned(shard=again.number, reason="no disk"), 3.0) == [Over()]
    assert made.left == 0


def test_what_is_lost_after_a_stop_is_not_offered_again() -> None:
    """Nor counted."""
    made = battery([f"t{number}" for number in range(10)])
    take(made)
    assert made.waiting == [2, 3]
    assert made.handle(Stopped(), 1.0) == [CancelShard(shard=number) for number in (1, 3, 2)]
    assert made.handle(ShardLost(shard=1, reason="stopped"), 2.0) == [Over()]
    assert made.counts.lost == 0
    assert [span.lost for span in made.spans] == [True]


# ---- lost, or unexplained: smaller and smaller


def test_a_shard_that_is_lost_twice_is_halved_with_what_is_known_of_it() -> None:
    """The larger half first; each of them is halved when it is lost once more."""
    made = battery(["a", "b", "c"], seconds=0.01)
    for losses in (0, 1):
        shard = take(made)
        assert (shard.units, shard.losses) == (("a", "b", "c"), losses)
        made.handle(ShardLost(shard=shard.number, reason="x"), 1.0)
        assert made.counts.lost == losses + 1
    half = take(made)
    assert (half.units, half.losses) == (("a", "b"), 1)
    made.handle(ShardLost(shard=half.number, reason="y"), 1.0)
    other = take(made)
    assert (other.units, other.losses) == (("c",), 1)
    (settled,) = [a for a in made.handle(ShardLost(shard=other.number, reason="z"), 1.0) if isinstance(a, Settled)]
    detail = "each machine that ran it was lost, 2 in turn; the last: z"
    assert settled.result == UnitResult(
        unit="c", outcome=Outcome.KILLER, seconds=None, detail=detail, agent="a1", shard=other.number, runs=0
    )
    assert (take(made).units, take(made).units) == (("a",), ("b",))


def test_units_that_no_report_explains_are_halved_before_what_is_new() -> None:
    """Their losses are none: their machine was well."""
    made = battery([f"t{number}" for number in range(30)], seconds=0.1)
    shard = take(made)
    assert len(shard.units) >= 4
    passed = {shard.units[0]: PASSED}
    made.handle(ShardEnded(shard=1, seconds=1.0, reports=passed, problem="exit status 3"), 1.0)
    assert set(made.results) == {shard.units[0]}
    rest = shard.units[1:]
    middle = (len(rest) + 1) // 2
    first, second = take(made), take(made)
    assert (first.units, first.losses) == (rest[:middle], 0)
    assert (second.units, second.losses) == (rest[middle:], 0)
    assert made.problems == ["exit status 3"]


def test_one_unit_that_no_report_explains_has_failed() -> None:
    """With what is known of it."""
    made = battery(["a"])
    settled, over = end(made, {"a": UNKNOWN})
    assert over == Over()
    assert settled == Settled(
        result=UnitResult(
            unit="a", outcome=Outcome.FAILED, seconds=2.0, detail="exit status 3", agent="a1", shard=1, runs=1
        )
    )


def test_after_a_stop_nothing_is_narrowed_nor_tried_again() -> None:
    """What has ended counts as it is."""
    made = battery(["a", "b", "c"], seconds=0.01, retries=3)
    take(made)
    made.handle(Stopped(), 1.0)
    actions = made.handle(ShardEnded(shard=1, seconds=1.0, reports={"c": FAILED}), 2.0)
    assert [type(action) for action in actions] == [Settled, Settled, Settled, Over]
    assert {result.outcome for result in made.results.values()} == {Outcome.FAILED}


# ---- results


def test_what_is_wrong_with_reports_is_remembered_within_bounds() -> None:
    """The first ones; all are counted."""
    made = singly(PROBLEMS_MAX + 2)
    for number in range(PROBLEMS_MAX + 2):
        shard = take(made)
        assert len(shard.units) == 1
        reports = dict.fromkeys(shard.units, PASSED)
        event = ShardEnded(shard=shard.number, seconds=1.0, reports=reports, problem=f"p{number}", warning=f"w{number}")
        made.handle(event, 1.0)
    assert made.problems == [f"p{number}" for number in range(PROBLEMS_MAX)]
    assert made.warnings == [f"w{number}" for number in range(PROBLEMS_MAX)]
    assert made.unusable == PROBLEMS_MAX + 2


def test_a_flaky_unit_tells_of_its_first_failure() -> None:
    """As far as that is worth it; a unit that is tried again comes after its equals."""
    made = singly(2, retries=2)
    long = UnitReport(outcome="failed", seconds=1.0, detail="1" * (FIRST_MAX + 5))
    assert take(made).units == ("t0",)
    made.handle(ShardEnded(shard=1, seconds=1.0, reports={"t0": long}), 1.0)
    assert take(made).units == ("t1",)
    second = take(made)
    assert second.units == ("t0",)
    made.handle(ShardEnded(shard=second.number, seconds=1.0, reports={"t0": FAILED}), 2.0)
    third = take(made)
    actions = made.handle(ShardEnded(shard=third.number, seconds=1.0, reports={"t0": PASSED}), 3.0)
    detail = "failed 2 times before it passed; the first time: " + "1" * FIRST_MAX
    result = UnitResult(
        unit="t0", outcome=Outcome.FLAKY, seconds=1.0, detail=detail, agent="a1", shard=third.number, runs=3
    )
    assert Settled(result=result) in actions
    assert made.results["t0"] == result


def test_details_are_cut_when_there_are_too_many() -> None:
    """All of a battery's together; what comes then is short."""
    made = singly(3)
    for detail, kept in (("1" * DETAILS_MAX, DETAILS_MAX), ("2" * 300, DETAIL_SHORT), ("3" * 150, 150)):
        shard = take(made)
        report = UnitReport(outcome="failed", detail=detail)
        made.handle(ShardEnded(shard=shard.number, seconds=1.0, reports=dict.fromkeys(shard.units, report)), 1.0)
        assert len(made.results[shard.units[0]].detail) == kept


def test_a_detail_that_just_fits_is_kept() -> None:
    """And one that does not is cut, whatever room there is."""
    made = singly(2)
    for detail, kept in (
        ("1" * (DETAILS_MAX + 1), DETAIL_SHORT),
        ("2" * (DETAILS_MAX - DETAIL_SHORT), DETAILS_MAX - DETAIL_SHORT),
    ):
        shard = take(made)
        report = UnitReport(outcome="failed", detail=detail)
        made.handle(ShardEnded(shard=shard.number, seconds=1.0, reports=dict.fromkeys(shard.units, report)), 1.0)
        assert len(made.results[shard.units[0]].detail) == kept


def test_a_unit_that_is_given_twice_is_one() -> None:
    """In the place of the first."""
    assert BatteryMachine(["b", "a", "b"], timings={}, plan=Plan()).units == ("b", "a")


def test_what_is_learnt_is_as_if_all_had_run_on_one_agent() -> None:
    """Nothing of what nobody measured."""
    made = singly(3)
    for agent, report in (("a1", PASSED), ("a2", UnitReport(outcome="passed", seconds=4.0)), ("a1", UNKNOWN)):
        shard = take(made, agent)
        reports = {shard.units[0]: UnitReport(outcome="passed")} if report is UNKNOWN else {shard.units[0]: report}
        made.handle(ShardEnded(shard=shard.number, seconds=report.seconds or 0.0, reports=reports), 1.0)
    timings, speeds = made.learned()
    assert set(timings) == {"t0", "t1"}
    assert set(speeds) == {"a1", "a2"}
    assert timings == {"t0": pytest.approx(speeds["a1"]), "t1": pytest.approx(4.0 * speeds["a2"])}


# ---- its journal


def written() -> list[str]:
    beginning = journal.Beginning(
        key="k",
        units=("a", "b"),
        timings={"a": 1.0, "b": 1.0},
        speeds={"a1": 2.0},
        plan=Plan(target_seconds=0.1, retries=1),
    )
    return [
        journal.beginning_line(beginning),
        journal.input_line(FleetSize(slots=1), 1.0),
        journal.input_line(ShardTaken(shard=1, agent="a1"), 2.0),
    ]


def test_lines_of_a_journal_are_json_that_says_all() -> None:
    """With the time; the first has a version."""
    first, fleet, taken = map(json.loads, written())
    assert first == {
        "v": journal.VERSION, "key": "k", "units": ["a", "b"], "timings": {"a": 1.0, "b": 1.0}, "speeds": {"a1": 2.0},
        "plan": {"target_seconds": 0.1, "retries": 1},
    }  # fmt: skip
    assert fleet == {"t": "fleet", "now": 1.0, "slots": 1}
    assert taken == {"t": "shardtaken", "now": 2.0, "shard": 1, "agent": "a1"}


def test_a_battery_is_made_again_as_it_stood() -> None:
    """What is no line of one is passed over."""
    ended = ShardEnded(shard=1, seconds=3.0, reports={"a": PASSED}, warning="w")
    lines = [
        *written(),
        "[1]",
        '{"t": "other", "now": 3.0}',
        '{"no": "t"}',
        '{"t": "shardended", "no',
        journal.input_line(ended, 5.0),
        '{"t": "sh',
    ]
    found = journal.read(lines)
    assert found is not None
    beginning, made = found
    assert beginning == journal.Beginning(
        key="k",
        units=("a", "b"),
        timings={"a": 1.0, "b": 1.0},
        speeds={"a1": 2.0},
        plan=Plan(target_seconds=0.1, retries=1),
    )
    assert made.plan == Plan(target_seconds=0.1, retries=1)
    assert made.results["a"].agent == "a1"
    assert [(span.began, span.ended) for span in made.spans] == [(2.0, 5.0)]
    assert made.warnings == ["w"]
    assert made.estimates.speeds.knows("a1")


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(v=journal.VERSION - 1),
        lambda row: row.pop("v"),
        lambda row: row.pop("key"),
        lambda row: row.update(timings={"a": "soon"}),
        lambda row: row.update(timings=[1]),
        lambda row: row.update(plan={"speed": 1}),
    ],
)
def test_a_first_line_that_says_something_else_begins_nothing(change: Any) -> None:
    """All of it is needed."""
    first, *rest = written()
    row = json.loads(first)
    change(row)
    assert journal.read([json.dumps(row), *rest]) is None
    assert journal.read([first, *rest]) is not None


def test_an_input_that_says_something_else_makes_no_battery() -> None:
    """It would be another one than that which was told it."""
    assert journal.read([*written(), '{"t": "fleet", "now": 2.0}']) is None
    assert journal.read([*written(), '{"t": "fleet", "slots": 2}']) is None
    assert journal.read([]) is None


def test_two_units_that_no_report_explains_run_alone() -> None:
    """One of them may have passed."""
    made = battery(["a", "b"], seconds=0.01)
    assert take(made).units == ("a", "b")
    made.handle(ShardEnded(shard=1, seconds=1.0, reports={}), 1.0)
    assert made.results == {}
    assert (take(made).units, take(made).units) == (("a",), ("b",))
