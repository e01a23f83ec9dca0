"""How much an agent gets, and what is learnt of how long units take and how fast agents are: figures by hand."""

from __future__ import annotations

from math import inf

import pytest

from master_bridge.core.battery.battery import BatteryMachine, Plan
from master_bridge.core.battery.bounds import SHARD_BYTES_MAX, SHARD_UNITS_MAX, SHARD_UNITS_UNKNOWN
from master_bridge.core.battery.estimates import Estimates
from master_bridge.core.battery.events import FleetSize, ShardEnded, UnitReport
from master_bridge.core.battery.sizes import Queue, Share, share
from master_bridge.core.battery.speeds import LEAST, Speeds

from .test_battery import PASSED, battery, take

# ---- how much


def known(*, timed: bool, overhead: float = 0.0) -> Estimates:
    """Of an agent `a`, which ran a unit in a second as expected, in a shard that took so much longer."""
    made = Estimates(["u"], {"u": 1.0} if timed else {}, {})
    made.learn("a", ["u"], 1.0 + overhead, [1.0])
    return made


def asked(estimates: Estimates, seconds_left: float, *, fastest: float = 1.0, target: float = 60.0) -> Share:
    return share(estimates, "a", seconds_left=seconds_left, fastest=fastest, target_seconds=target)


def test_nothing_is_known() -> None:
    """An eighth of what the agent is to do, of few units."""
    got = asked(Estimates(["u"], {}, {}), 80.0)
    assert got == Share(size=10.0, longest=inf, units=SHARD_UNITS_UNKNOWN)


def test_only_this_run_tells_how_long_units_take() -> None:
    """A third; not more than one shard is to take."""
    assert asked(known(timed=False), 30.0) == Share(size=10.0, longest=inf, units=SHARD_UNITS_MAX)
    assert asked(known(timed=False), 30.0, target=4.0).size == 4.0
    assert asked(known(timed=False, overhead=1.0), 30.0).size == 10.0, "what a shard costs is no reason for more"


def test_past_runs_tell_how_long_units_take() -> None:
    """Two fifths; or so much that what a shard costs is a twentieth of it, up to two thirds."""
    assert asked(known(timed=True), 30.0) == Share(size=12.0, longest=inf)
    assert asked(known(timed=True, overhead=1.0), 36.0).size == 20.0
    assert asked(known(timed=True, overhead=1.0), 24.0).size == 16.0
    assert asked(known(timed=True, overhead=1.0), 75.0, target=100.0).size == 30.0


def test_what_a_shard_costs_counts_for_more_on_a_fast_agent() -> None:
    """In its time twice as much is run."""
    made = Estimates(["u"], {"u": 2.0}, {})
    made.learn("a", ["u"], 2.0, [1.0])
    assert asked(made, 40.0, fastest=2.0, target=100.0).size == pytest.approx(40.0)


def test_no_shard_is_shorter_than_it_is_worth() -> None:
    """Half a second, or three times what it costs; unless nothing more is left."""
    assert asked(known(timed=False), 0.9).size == 0.5
    assert asked(known(timed=False), 0.3).size == pytest.approx(0.3)
    assert asked(known(timed=False, overhead=2.0), 9.0).size == 6.0


def test_an_agent_of_which_nothing_is_known_gets_little() -> None:
    """And no unit that is longer than a quarter of what it is to do."""
    got = share(known(timed=False), "b", seconds_left=40.0, fastest=1.0, target_seconds=60.0)
    assert got == Share(size=5.0, longest=10.0)
    assert share(known(timed=True), "b", seconds_left=40.0, fastest=1.0, target_seconds=60.0) == got


def test_a_slow_agent_gets_no_long_unit() -> None:
    """Longer than half of what it is to do, where it is slower than seven tenths of the fastest."""
    assert asked(known(timed=False), 30.0, fastest=1.4).longest == inf
    assert asked(known(timed=False), 30.0, fastest=1.5) == Share(size=10.0, longest=15.0)


def test_a_fast_agent_gets_more() -> None:
    """In proportion to its speed, by past runs."""
    estimates = Estimates(["u"], {"u": 1.0}, {"a": 2.0, "b": 0.5})
    assert asked(estimates, 30.0, fastest=2.0).size == pytest.approx(24.0)
    assert asked(estimates, 30.0, fastest=2.0, target=10.0).size == pytest.approx(20.0)
    estimates.learn("a", ["u"], 1.5, [0.5])
    assert estimates.overhead == 1.0
    assert asked(estimates, 1.0, fastest=2.0).size == pytest.approx(2.0), "all that it is to do"
    assert asked(estimates, 4.0, fastest=2.0).size == pytest.approx(6.0)


# ---- which units


def queue(**seconds: float) -> Queue:
    return Queue(seconds, Estimates(seconds, seconds, {}))


def test_the_longest_come_first_and_equals_in_their_order() -> None:
    """Also those that are put back, as the last of their length."""
    waiting = queue(a=1.0, b=3.0, c=1.0, d=2.0)
    assert waiting.take(Share(size=6.0)) == ("b", "d", "a")
    assert waiting.take(Share(size=0.0)) == ("c",), "one in any case"
    assert len(waiting) == 0
    waiting = queue(a=1.0, b=1.0)
    assert waiting.take(Share(size=0.5)) == ("a",)
    waiting.put_back("a")
    assert len(waiting) == 2
    assert waiting.take(Share(size=9.0)) == ("b", "a")
    waiting = queue(a=1.0, b=3.0)
    waiting.take(Share(size=9.0))
    waiting.put_back("a")
    waiting.put_back("b")
    assert waiting.take(Share(size=9.0)) == ("b", "a"), "each with its own length"
    waiting = queue(a=1.0, b=1.0, c=1.0)
    waiting.take(Share(size=2.0))
    waiting.put_back("b")
    waiting.put_back("a")
    assert waiting.take(Share(size=9.0)) == ("c", "b", "a")


def test_no_unit_is_longer_than_may_be_unless_all_are() -> None:
    """Then it is the shortest."""
    waiting = queue(a=5.0, b=4.0, c=2.0, d=1.0)
    assert waiting.take(Share(size=3.0, longest=2.0)) == ("c", "d")
    assert waiting.take(Share(size=9.0, longest=2.0)) == ("b",)
    assert waiting.take(Share(size=9.0, longest=5.0)) == ("a",)


def test_a_shard_has_no_more_units_and_bytes_than_may_be() -> None:
    """Each name with its line end, in UTF-8."""
    waiting = queue(**{f"t{number}": 1.0 for number in range(5)})
    assert len(waiting.take(Share(size=9.0, units=3))) == 3
    assert len(waiting) == 2
    waiting.clear()
    assert len(waiting) == 0
    half = SHARD_BYTES_MAX // 2
    assert len(queue(**{"é" * (half // 2 - 1): 1.0, "x" * half: 1.0}).take(Share(size=9.0))) == 2
    assert len(queue(**{"é" * (half // 2 - 1): 1.0, "x" * (half + 1): 1.0}).take(Share(size=9.0))) == 1


# ---- how long


def test_a_unit_without_timing_takes_the_mean() -> None:
    """Of this battery's units; none takes no time."""
    made = Estimates(["a", "b", "new", "none"], {"a": 2.0, "b": 4.0, "none": 0.0, "other": 100.0}, {"x": 2.0, "y": 0.5})
    assert made.weight("none") == LEAST
    assert made.weight("new") == pytest.approx((2.0 + 4.0 + LEAST) / 3)
    assert made.seconds(["a", "b"], "x") == pytest.approx(3.0)
    assert (made.timed, made.informed) == (True, True)
    bare = Estimates(["a"], {"other": 3.0}, {})
    assert bare.weight("a") == 1.0
    assert (bare.timed, bare.informed) == (False, False)


def test_what_a_shard_costs_is_measured_where_all_of_its_units_were() -> None:
    """The mean of all shards; a shard cannot cost less than nothing."""
    made = Estimates(["u", "v"], {}, {})
    assert made.overhead == 0.0
    made.learn("a", ["u", "v"], 5.0, [1.0, 2.0])
    assert made.overhead == 2.0
    assert made.informed
    made.learn("a", ["u"], 1.0, [1.5])
    assert made.overhead == 1.0
    made.learn("a", ["u", "v"], 9.0, [1.0, None])
    assert made.overhead == pytest.approx(2.0 / 3)


def test_each_unit_that_was_measured_counts_for_what_it_was_expected_to_take() -> None:
    made = Estimates(["u", "v"], {"u": 1.0, "v": 9.0}, {})
    made.learn("a", ["u", "v"], 5.0, [0.5, 4.5])
    assert made.speeds.of("a") == pytest.approx(2.0)
    alone = Estimates(["u", "v"], {"u": 1.0, "v": 9.0}, {})
    alone.learn("a", ["v"], 4.5, [4.5])
    assert alone.speeds.of("a") == pytest.approx(2.0)


def test_a_shard_whose_units_nobody_measured_is_one_measure() -> None:
    """All of it, for all of its time."""
    made = Estimates(["u", "v"], {"u": 1.0, "v": 3.0}, {})
    made.learn("a", ["u", "v"], 2.0, [1.0, None])
    assert made.speeds.of("a") == pytest.approx(2.0)


# ---- how fast


def test_past_runs_tell_how_agents_differ() -> None:
    """One that has no speed is as good as unknown: it is taken for the mean of the others."""
    made = Speeds({"a": 2.0, "b": 0.5, "zero": 0.0}, mean_weight=1.0)
    assert (made.of("a"), made.of("b"), made.of("zero"), made.usual) == pytest.approx((2.0, 0.5, 1.0, 1.0))
    assert (made.knows("a"), made.knows("zero")) == (True, False)
    assert made.relative() == {}
    skewed = Speeds({"a": 4.0, "b": 1.0}, mean_weight=1.0)
    assert skewed.usual == pytest.approx(2.0)


def test_what_was_seen_counts_from_the_next_renewal() -> None:
    """All of a shard's units at once."""
    made = Speeds({}, mean_weight=1.0)
    made.saw("c", 4.0, 1.0)
    assert made.of("c") == 1.0
    assert not made.knows("c")
    made.renew()
    assert made.knows("c")
    assert made.of("c") == pytest.approx(4.0)
    assert made.usual == pytest.approx(4.0), "all agents are so fast, as far as is known"
    assert made.relative() == pytest.approx({"c": 1.0})


def test_agents_are_compared_by_logarithms_and_scaled_to_the_time_that_all_took() -> None:
    """Each as if it had run one mean unit more, at the mean speed."""
    made = Speeds({}, mean_weight=1.0)
    made.saw("a", 2.0, 1.0)
    made.saw("b", 2.0, 4.0)
    made.renew()
    fast, slow = 2 ** (2 / 3), 2 ** (-2 / 3)
    scale = (1.0 * fast + 4.0 * slow) / 4.0
    assert made.of("a") == pytest.approx(fast / scale)
    assert made.of("b") == pytest.approx(slow / scale)
    assert made.usual == pytest.approx(1.0 / scale)
    assert made.relative() == pytest.approx({"a": fast, "b": slow})


def test_a_change_of_the_code_is_no_agents_doing() -> None:
    """All are three times as fast as in past runs: by one agent it is known of the others."""
    made = Speeds({"a": 1.0, "b": 2.0}, mean_weight=1.0)
    made.saw("a", 1.0, 1.0 / 3)
    made.saw("a", 2.0, 2.0 / 3)
    made.renew()
    assert made.of("a") == pytest.approx(3.0)
    assert made.of("b") == pytest.approx(6.0)
    assert made.usual == pytest.approx(3.0 * 2**0.5)
    assert made.relative() == pytest.approx({"a": 1.0})


def test_agents_count_by_how_much_they_ran() -> None:
    """For how much has changed since past runs: `a` by three parts of four."""
    made = Speeds({"a": 1.0, "b": 1.0}, mean_weight=1.0)
    made.saw("a", 3.0, 1.5)
    made.saw("b", 1.0, 1.0)
    made.saw("stranger", 9.0, 1.0)
    made.renew()
    level = 2 ** (3 / 4)
    fast, usual = (2**3 * level) ** (1 / 4), level**0.5
    stranger = (9**9 * level) ** (1 / 10)
    scale = (1.5 * fast + 1.0 * usual + 1.0 * stranger) / 13.0
    assert made.of("a") == pytest.approx(fast / scale)
    assert made.of("b") == pytest.approx(usual / scale)
    assert made.of("stranger") == pytest.approx(stranger / scale)
    assert made.relative() == pytest.approx({"a": fast / level, "b": usual / level, "stranger": stranger / level})


def test_no_time_counts_as_a_thousandth_of_a_second() -> None:
    """Reports have three decimals."""
    made = Speeds({}, mean_weight=1.0)
    made.saw("a", 0.0, 0.0)
    made.saw("b", 1.0, 0.0)
    made.renew()
    assert made.relative()["b"] > made.relative()["a"]
    same = Speeds({}, mean_weight=1.0)
    same.saw("a", LEAST, LEAST)
    same.saw("b", 1.0, LEAST)
    same.renew()
    assert (made.of("a"), made.of("b")) == (same.of("a"), same.of("b"))


# ---- all of it together


def test_what_is_left_is_divided_among_all_agents_at_their_speeds() -> None:
    """Those that run have done a part of theirs; those that will come are taken for usual ones."""
    made = battery([f"t{number}" for number in range(100)], slots=4)
    assert len(take(made, "a1", 0.0).units) == 10, "100 s of work for four: 25 s each"
    assert len(take(made, "a2", 0.0).units) == 10
    assert len(take(made, "a3", 5.0).units) == 9, "90 s are left"
    assert len(take(made, "a4", 50.0).units) == 7, "71 s: nobody has done more than a shard"
    made.handle(ShardEnded(shard=1, seconds=10.0, reports=dict.fromkeys(made.running[1].shard.units, PASSED)), 50.0)
    assert len(take(made, "a1", 50.0).units) == 7, "as much as before: what ended was counted as done"


def test_a_shard_is_measured_by_who_runs_it() -> None:
    """The slow one gets a quarter, which takes it as long."""
    units = [f"t{number}" for number in range(50)]
    made = BatteryMachine(units, timings=dict.fromkeys(units, 1.0), speeds={"s": 0.5, "f": 2.0}, plan=Plan())
    made.handle(FleetSize(slots=2), 0.0)
    slow, fast = take(made, "s"), take(made, "f")
    assert (len(slow.units), len(fast.units)) == (6, 16)
    assert (slow.seconds, fast.seconds) == (pytest.approx(12.0), pytest.approx(8.0))
    assert made.weight == 50.0
    made.handle(
        ShardEnded(shard=1, seconds=12.0, reports=dict.fromkeys(slow.units, UnitReport(outcome="passed", seconds=2.0))),
        12.0,
    )
    assert made.settled_weight == 6.0


def test_past_runs_count_as_much_as_a_unit_of_mean_length() -> None:
    """One agent was known as four times as fast. A mean unit on each, equally fast, halves that, as a logarithm."""
    speeds = Speeds({"a": 1.0, "b": 4.0}, mean_weight=4.0)
    for agent in "ab":
        speeds.saw(agent, 4.0, 4.0)
    speeds.renew()
    assert speeds.of("b") / speeds.of("a") == pytest.approx(2.0)
    assert 4.0 / speeds.of("a") + 4.0 / speeds.of("b") == pytest.approx(9.0)
