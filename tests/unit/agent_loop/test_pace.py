"""How often the agent tells its status where nothing is new: as its masters want (rule 27)."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from worker_agent.reporting.pace import StatusPace


class Looking:
    """An agent that looks every 5 s, and hears `alive` of each master every 3 s."""

    def __init__(self, seed: int = 0) -> None:
        self.pace, self.now = StatusPace(Random(seed)), 0.0
        #: when it told, and what it promised then; what it would have, had there been news in the middle
        self.told: list[tuple[float, int]] = []
        self.news: list[tuple[float, int]] = []

    def looks(self, count: int, *masters: int) -> list[float]:
        """So many looks, with masters that want that; when it told in them, in seconds from now on."""
        begin, before = self.now, len(self.told)
        for _ in range(count):
            for every in masters:
                self.pace.master_wants(every, self.now + 2.0)
            self.news.append((self.now + 2.5, self.pace.every(self.now + 2.5)))
            self.now += 5.0
            if self.pace.look(self.now):
                self.told.append((self.now, self.pace.every(self.now)))
        return [at - begin for at, _ in self.told[before:]]


def test_without_masters_it_tells_each_time() -> None:
    assert Looking().looks(4) == [5.0, 10.0, 15.0, 20.0]


@pytest.mark.parametrize(
    ("masters", "seconds"), [((5,), 5), ((10,), 10), ((25,), 25), ((60,), 60), ((60, 25), 25), ((60, 5), 5), ((7,), 5),
                             ((59,), 55)]
)  # fmt: skip
def test_the_master_that_wants_it_most_often_gets_it(masters: tuple[int, ...], seconds: int) -> None:
    """One that says nothing of it, as an old one does, means 5 s. What is no multiple of 5 s is less."""
    agent = Looking()
    agent.looks(60, *masters)
    first, second, third = [at for at, _ in agent.told][-3:]
    assert (second - first, third - second) == (seconds, seconds)
    assert agent.pace.every(agent.now) == min(masters)


def test_masters_come_and_go() -> None:
    """Nobody is waited for longer than 15 s; while none is there it tells each time, as ever."""
    agent = Looking()
    agent.looks(20, 60)
    assert agent.pace.every(agent.now) == 60
    agent.looks(4, 60, 10)
    assert agent.pace.every(agent.now) == 10
    agent.looks(2, 60)
    assert agent.pace.every(agent.now) == 10, "the other one may have been heard 15 s ago"
    agent.looks(1, 60)
    assert agent.pace.every(agent.now) == 60, "heard 18 s ago"
    agent.looks(4)
    assert agent.looks(3) == [5.0, 10.0, 15.0]


def test_the_first_look_tells_whatever_masters_want() -> None:
    assert Looking().looks(1, 60) == [5.0]


def test_what_a_master_wanted_counts_for_15_seconds() -> None:
    pace = StatusPace(Random(0))
    pace.master_wants(60, 100.0)
    assert (pace.every(115.0), pace.every(115.1)) == (60, 5)


@pytest.mark.parametrize("seed", range(20))
def test_it_never_tells_later_than_it_said(seed: int) -> None:
    """Whatever masters want, and in the middle of an interval too: who promised 60 s may tell before, never after."""
    agent, plan = Looking(seed), Random(seed)
    for _ in range(30):
        agent.looks(plan.randint(1, 15), *(5 * plan.randint(1, 12) for _ in range(plan.randint(0, 3))))
    for told, promised in (*agent.told[:-1], *agent.news):
        following = next((at for at, _ in agent.told if at > told), agent.now)
        assert following - told <= promised


def test_a_new_master_is_told_at_the_next_look() -> None:
    """It calls the roll, and knows nothing of the fleet."""
    agent = Looking()
    agent.looks(30, 60)
    while agent.looks(1, 60) == []:
        pass
    assert agent.looks(2, 60) == []
    agent.pace.master_new()
    assert agent.looks(1, 60) == [5.0]


@pytest.mark.parametrize(("before", "after"), [(5, 25), (25, 10), (60, 15), (10, 60)])
def test_many_agents_do_not_tell_at_the_same_look(before: int, after: int) -> None:
    """They hear at the same moment that another interval is wanted; from then on as many tell at each look."""
    agents = [Looking(seed) for seed in range(1_000)]
    told: Counter[float] = Counter()
    for agent in agents:
        agent.looks(40, before)
        agent.looks(40, after)
        told.update(agent.looks(after // 5, after))
    assert sum(told.values()) == 1_000
    share = 1_000 / (after // 5)
    assert all(share / 2 < told[5.0 * look] < 2 * share for look in range(1, after // 5 + 1)), told


def test_many_agents_do_not_tell_at_the_same_look_after_a_roll_call() -> None:
    """A master calls the roll whenever its link is up again: all agents tell within 5 s, and are to do so once only."""
    agents = [Looking(seed) for seed in range(1_000)]
    told: Counter[float] = Counter()
    for agent in agents:
        agent.looks(40, 60)
        agent.pace.master_new()
        assert agent.looks(1, 60) == [5.0]
        told.update(agent.looks(12, 60))
    assert sum(told.values()) == 1_000
    assert all(1_000 / 12 / 2 < told[5.0 * look] < 2 * 1_000 / 12 for look in range(1, 13)), told
