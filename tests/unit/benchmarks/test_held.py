"""What a process that `benchmarks soak` measures tells of itself, and fills when it is asked to."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path

from twisted.python.threadpool import ThreadPool

from benchmarks.stand.counted_agent import remember_as_many_as_ever
from benchmarks.stand.held import Holder, counts, fill_pools
from worker_agent.core.ended import REMEMBERED, EndedSession, EndedSessions

#: Of its own: how full the table of texts is when it begins is the same at each run. It is made for 21,846 to 43,690
#: texts, nearly all of which stay.
_TEXTS = """
import sys
from benchmarks.stand.held import counts, fill_texts
USED = "memory that malloc has given out"
kept = [sys.intern(f"kept {number}") for number in range(40_000)]
counts()
sizes = [counts()[USED]]
fill_texts()
sizes.append(counts()[USED])
for number in range(500_000):
    sys.intern(f"comes and goes {number}")
sizes.append(counts()[USED])
print(*sizes)
"""


class Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_not_counted() -> None:
    """20,000 objects in cycles, as what is left of builds that nobody has looked at for garbage."""
    gc.disable()
    try:
        before = counts()
        for _ in range(20_000):
            Cycle()
        after = counts()
    finally:
        gc.enable()
    for what in ("objects of Python", "blocks of Python"):
        assert after[what] - before[what] < 10_000, what


def test_what_is_kept_is_counted_also_where_the_collector_does_not_know_it() -> None:
    before = counts()
    kept = [f"text {number}" for number in range(20_000)]
    after = counts()
    more = after["blocks of Python"] - before["blocks of Python"]
    assert more >= 0.9 * len(kept), "of other tests something may go meanwhile"


def test_all_threads_of_a_pool_are_there_when_it_is_filled() -> None:
    pool = ThreadPool(0, 7)
    pool.start()
    try:
        assert len(pool.threads) < 7
        fill_pools()
        assert len(pool.threads) == 7
    finally:
        pool.stop()


def ended(number: int) -> EndedSession:
    return EndedSession(
        session=f"s{number}", master="m", request=f"br-{number}", reason="released", detail="", ticket="t", owed=False
    )


def test_what_an_agent_remembers_is_full_of_sessions_that_are_forgotten_before_real_ones() -> None:
    remembered = EndedSessions()
    remember_as_many_as_ever(remembered)
    assert not list(remembered._ended), "there is no real one yet whose form they could have"
    for number in range(3):
        remembered.add(ended(number))
    remember_as_many_as_ever(remembered)
    assert len(remembered._ended) > 0.98 * REMEMBERED, "one of 64 is forgotten at once"
    size = sys.getsizeof(remembered._ended._entries)
    for number in range(3, 4 * REMEMBERED):
        remembered.add(ended(number))
        if number < 40:
            assert all(remembered.get(f"s{number}") for number in range(4)), "those that never were are forgotten first"
        assert sys.getsizeof(remembered._ended._entries) <= size, "it had its last size"


def test_an_agent_that_is_counted_loads_no_twisted() -> None:
    """It would be another agent by some megabytes."""
    code = "import benchmarks.stand.counted_agent, sys; print('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_texts_that_come_and_go_take_nothing_after_the_table_is_filled() -> None:
    done = subprocess.run([sys.executable, "-c", _TEXTS], capture_output=True, text=True, check=True)
    before, filled, later = map(float, done.stdout.split())
    assert filled > before + 0.3, "it had room for few, and was made anew"
    assert abs(later - filled) < 0.1


def test_it_tells_and_fills_when_a_file_asks_for_it(tmp_path: Path) -> None:
    filled: list[bool] = []
    holder = Holder(tmp_path, lambda: {"tasks": 3.0}, lambda: filled.append(True))
    holder.look()
    assert not list(tmp_path.iterdir())
    (tmp_path / "fill").touch()
    (tmp_path / "held").write_text("{}")
    holder.look()
    assert filled == [True]
    assert [path.name for path in tmp_path.iterdir()] == ["held"]
    assert json.loads((tmp_path / "held").read_text())["tasks"] == 3.0


def test_who_empties_the_file_is_told_at_the_next_look(tmp_path: Path) -> None:
    numbers = iter((1.0, 2.0))
    holder = Holder(tmp_path, lambda: {"tasks": next(numbers)})
    told = []
    for text in ("{}", None, "{}"):
        if text is not None:
            (tmp_path / "held").write_text(text)
        holder.look()
        told.append(json.loads((tmp_path / "held").read_text())["tasks"])
    assert told == [1.0, 1.0, 2.0], "it counts seldom, and at once where the file is empty"
