"""`Order`: random pipelines, whose steps end in any order, hold what the reference promises."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from contracts.pipeline.lines import WaitLine
from contracts.pipeline.script import Allowed, Entry, Script
from master_bridge.core.pipeline import Move, SkipStep, StartStep, StepOrder, StepState

SIDE_BY_SIDE = 3


def entries(*lines: dict[str, object]) -> list[Entry]:
    script = Script(Allowed.everything())
    taken = [script.take(json.dumps(line)) for line in lines]
    return [entry for entry in taken if entry is not None]


def run(name: str, **fields: object) -> dict[str, object]:
    return {"type": "run", "name": name, "command": "true", **fields}


def random_lines(chance: random.Random) -> Iterator[dict[str, object]]:
    names: list[str] = []
    for number in range(chance.randint(1, 25)):
        if chance.random() < 0.1:
            yield {"type": "wait", "continue_on_failure": chance.random() < 0.5}
            continue
        line = run(f"s{number}")
        if chance.random() < 0.6:
            line["requires"] = []
        if chance.random() < 0.5:
            line["needs"] = chance.sample(names, min(len(names), chance.randint(0, 3)))
        names.append(f"s{number}")
        yield line


class Ran:
    """Drives an order: lines come and steps end as `chance` has it; checks each move as it comes."""

    def __init__(self, lines: list[Entry], chance: random.Random) -> None:
        self.order = StepOrder(side_by_side=SIDE_BY_SIDE)
        self.lines = lines
        self.chance = chance
        self.added: list[Entry] = []
        self.running: list[Entry] = []
        self.started: list[Entry] = []
        self.skipped: dict[str, str] = {}
        self.good: dict[str, bool] = {}

    def go(self) -> None:
        left = list(self.lines)
        while left or self.running:
            if left and (not self.running or self.chance.random() < 0.6):
                self.added.append(left.pop(0))
                self.carry_out(self.order.add(self.added[-1]))
            else:
                entry = self.running.pop(self.chance.randrange(len(self.running)))
                self.good[entry.name] = self.chance.random() < 0.8
                self.carry_out(self.order.ended(entry.name, good=self.good[entry.name]))
            self.check_nothing_waits_in_vain()

    def carry_out(self, moves: list[Move]) -> None:
        for move in moves:
            assert move.entry in self.added
            if isinstance(move, SkipStep):
                self.skipped[move.entry.name] = move.reason
                continue
            assert all(self.good.get(need) for need in move.entry.needs or ())
            assert self.before_waits(move.entry) <= self.ended(), "a step overtook a `wait`"
            self.started.append(move.entry)
            self.running.append(move.entry)
            assert sum(entry.in_order for entry in self.running) <= 1
            assert sum(not entry.in_order for entry in self.running) <= SIDE_BY_SIDE

    def ended(self) -> set[str]:
        return {*self.good, *self.skipped}

    def before_waits(self, entry: Entry) -> set[str]:
        """Steps before the last `wait` line that is before `entry`."""
        waits = [each.number for each in self.lines if isinstance(each.line, WaitLine) and each.number < entry.number]
        return {each.name for each in self.lines if each.name and waits and each.number < waits[-1]}

    def check_nothing_waits_in_vain(self) -> None:
        """What needs nothing more runs, unless as many run as may."""
        full = sum(not entry.in_order for entry in self.running) == SIDE_BY_SIDE
        for entry in self.added:
            if not entry.name or entry.in_order or self.order.state(entry.name) is not StepState.WAITING or full:
                continue
            open_needs = set(entry.needs or ()) - self.ended()
            assert open_needs or not self.before_waits(entry) <= self.ended(), f"{entry.name} waits for nothing"


@pytest.mark.parametrize("seed", range(300))
def test_random_pipelines(seed: int) -> None:
    """Each step starts once or is skipped once; those in order start in the order of their lines."""
    chance = random.Random(seed)
    lines = entries(*random_lines(chance))
    ran = Ran(lines, chance)
    ran.go()
    assert ran.order.idle
    names = [entry.name for entry in lines if entry.name]
    assert sorted([*(entry.name for entry in ran.started), *ran.skipped]) == sorted(names)
    numbers = [entry.number for entry in ran.started if entry.in_order]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("seed", range(50))
def test_what_starts_in_order_does_not_depend_on_time(seed: int) -> None:
    """A build that starts over asks its agent for the same commands, whenever lines come and steps end."""
    lines = entries(*random_lines(random.Random(seed)))
    orders = []
    for other in range(5):
        chance = random.Random(1000 * seed + other)
        order = StepOrder(side_by_side=SIDE_BY_SIDE)
        waiting, started = list(lines), []
        running: list[Entry] = []
        while waiting or running:
            if waiting and (not running or chance.random() < 0.5):
                moves = order.add(waiting.pop(0))
            else:
                entry = running.pop(chance.randrange(len(running)))
                moves = order.ended(entry.name, good=entry.number % 4 != 0)
            running += [move.entry for move in moves if isinstance(move, StartStep)]
            started += [move.entry.name for move in moves if isinstance(move, StartStep) and move.entry.in_order]
        orders.append(started)
    assert all(order == orders[0] for order in orders)


def test_a_stop_skips_all_that_has_not_started() -> None:
    """And all that comes later; what runs ends as it ends."""
    order = StepOrder(side_by_side=SIDE_BY_SIDE)
    first, second, third, fourth = entries(run("a"), run("b"), run("c", requires=[], needs=["a"]), run("d"))
    assert order.add(first) == [StartStep(entry=first)]
    assert order.add(second) == order.add(third) == []
    assert [move.entry.name for move in order.stop("the build was stopped")] == ["b"]
    assert order.ended("a", good=True) == [SkipStep(entry=third, reason="the build was stopped")]
    assert order.add(fourth) == [SkipStep(entry=fourth, reason="the build was stopped")]
    assert order.idle


def wait(*, continue_on_failure: bool) -> dict[str, object]:
    return {"type": "wait", "continue_on_failure": continue_on_failure}


def told(moves: list[Move]) -> list[tuple[str, str | None]]:
    """What starts, and what is skipped for which reason."""
    return [(move.entry.name, move.reason if isinstance(move, SkipStep) else None) for move in moves]


def test_a_step_after_one_that_failed_is_skipped_with_the_reason() -> None:
    """The first reason is told; one that needs a step that was skipped is skipped as well, and so on."""
    order = StepOrder(side_by_side=SIDE_BY_SIDE)
    a, b, c, d = entries(
        run("a"), run("b"), run("c", requires=[], needs=["b"]), run("d", requires=[], needs=["a", "c"])
    )
    assert told(order.add(a)) == [("a", None)]
    assert told([*order.add(b), *order.add(c), *order.add(d)]) == []
    assert order.state("b") is StepState.WAITING
    assert told(order.ended("a", good=False)) == [
        ("b", "it needs `a`, which has failed"),
        ("c", "it needs `b`, which was skipped"),
        ("d", "it needs `a`, which has failed"),
    ]
    assert [order.state(name) for name in "abcd"] == [StepState.BAD, *[StepState.SKIPPED] * 3]
    assert order.idle


def test_a_step_that_comes_after_what_it_needs_has_ended_is_told_at_once() -> None:
    """It starts, or is skipped."""
    order = StepOrder(side_by_side=SIDE_BY_SIDE)
    good, bad, first, second, third = entries(
        run("good", requires=[]),
        run("bad", requires=[]),
        run("first", requires=[], needs=["good"]),
        run("second", requires=[], needs=["bad", "good"]),
        run("third", requires=[], needs=["second"]),
    )
    order.add(good)
    order.add(bad)
    assert order.ended("good", good=True) == []
    assert order.state("good") is StepState.GOOD
    assert order.ended("bad", good=False) == []
    assert told(order.add(first)) == [("first", None)]
    assert told(order.add(second)) == [("second", "it needs `bad`, which has failed")]
    assert told(order.add(third)) == [("third", "it needs `second`, which was skipped")]
    assert not order.idle
    order.ended("first", good=True)
    assert order.idle


def test_so_many_run_side_by_side_and_one_in_order_beside_them() -> None:
    """Who becomes free takes the next, in the order of lines."""
    order = StepOrder(side_by_side=2)
    a, b, c, d, e, f = entries(*(run(name, requires=[]) for name in "abcd"), run("e"), run("f"))
    assert [told(order.add(each)) for each in (a, b, c, d)] == [[("a", None)], [("b", None)], [], []]
    assert told(order.add(e)) == [("e", None)]
    assert told(order.add(f)) == []
    assert told(order.ended("b", good=True)) == [("c", None)]
    assert told(order.ended("e", good=True)) == [("f", None)]
    assert told(order.ended("a", good=False)) == [("d", None)]


def test_what_is_skipped_waits_for_no_place() -> None:
    """All others are taken."""
    order = StepOrder(side_by_side=1)
    a, b, c = entries(run("a", requires=[]), run("b", requires=[]), run("c", requires=[], needs=["a"]))
    order.add(a)
    order.add(b)
    assert order.add(c) == []
    assert told(order.ended("a", good=False)) == [("b", None), ("c", "it needs `a`, which has failed")]


@pytest.mark.parametrize(
    ("good", "forgives", "reason"),
    [
        (True, False, None),
        (True, True, None),
        (False, False, "a step before `wait` has failed"),
        (False, True, None),
    ],
)
def test_a_wait_line_holds_what_comes_after_it(good: bool, forgives: bool, reason: str | None) -> None:
    """Until all before it has ended; after a failure nothing starts, unless it says so."""
    order = StepOrder(side_by_side=SIDE_BY_SIDE)
    a, line, b, c = entries(run("a", requires=[]), wait(continue_on_failure=forgives), run("b", requires=[]), run("c"))
    order.add(a)
    assert order.add(line) == order.add(b) == order.add(c) == []
    assert not order.idle
    moves = order.ended("a", good=good)
    assert sorted(told(moves)) == [("b", reason), ("c", reason)]


def test_a_failure_counts_at_each_wait_line_that_does_not_forgive() -> None:
    """Also behind one that does; and a skipped step counts as one."""
    order = StepOrder(side_by_side=SIDE_BY_SIDE)
    lines = entries(
        run("a", requires=[]),
        wait(continue_on_failure=True),
        run("b", requires=[]),
        wait(continue_on_failure=False),
        run("c", requires=[]),
    )
    for line in lines:
        order.add(line)
    assert told(order.ended("a", good=False)) == [("b", None)]
    assert told(order.ended("b", good=True)) == [("c", "a step before `wait` has failed")]
    stopped = StepOrder(side_by_side=SIDE_BY_SIDE)
    for line in lines:
        stopped.add(line)
    assert told(stopped.stop("enough")) == []
    assert told(stopped.ended("a", good=True)) == [("b", "enough"), ("c", "enough")]
