"""Trials of changes: which tests run, and what becomes of a trial whose tests fail, hang or end their process."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.mutation import children, patience, swapping
from tests.mutation.children import TIMEOUT, Trial, outcomes
from tests.mutation.nearest import ALL_SECONDS, nearest_first
from tests.mutation.patience import AT_LEAST, AT_MOST, Clock, limit
from tests.mutation.reach import Seen, measured


def test_tests_that_reach_little_and_are_quick_run_first() -> None:
    """As many as there is time for; one, where each takes longer."""
    reached = {"own": 1, "quick": 2, "slower": 2, "wide": 3}
    quick = {"own": 0.2, "quick": 0.1, "slower": 0.3, "wide": 0.1}
    assert nearest_first(set(reached), reached, quick) == ["own", "quick", "slower", "wide"]
    slow = {"own": 0.5, "quick": ALL_SECONDS - 1.0, "slower": ALL_SECONDS, "wide": 0.5}
    assert nearest_first(set(reached), reached, slow) == ["own", "quick", "wide"], "there is no time for the third"
    endless = dict.fromkeys(reached, 2 * ALL_SECONDS)
    assert nearest_first(set(reached), reached, endless) == ["own"], "there is no other"
    assert nearest_first((), reached, quick) == []


def test_what_was_measured_is_kept_while_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured anew: a file that changes, those of a folder where its helper does, each where the code does."""
    monkeypatch.chdir(tmp_path)
    Path("tests/unit").mkdir(parents=True)
    for name in ("tests/unit/test_a.py", "tests/unit/test_b.py", "tests/unit/helper.py", "code.py"):
        Path(name).write_text("1")
    asked: list[list[list[str]]] = []

    def measure(files: list[list[str]]) -> Iterator[Seen]:
        asked.append(files)
        for tests in files:
            yield {test: {"seconds": 0.5, "busy": 0.1, "functions": ["f", test]} for test in tests}

    tests = ["tests/unit/test_a.py::one", "tests/unit/test_a.py::two", "tests/unit/test_b.py::one"]
    reach = measured(tests, measure, Path("kept"), [Path("code.py")])
    assert reach.nearest("f__mutmut_1") == tests
    assert reach.nearest("tests/unit/test_b.py::one__mutmut_2") == tests[2:]
    assert reach.nearest("g__mutmut_1") == []
    assert measured(tests, measure, Path("kept"), [Path("code.py")]) == reach
    for changed in ("tests/unit/test_b.py", "tests/unit/helper.py", "code.py"):
        Path(changed).write_text("2")
        assert measured(tests, measure, Path("kept"), [Path("code.py")]) == reach
    every = [tests[:2], tests[2:]]
    assert asked == [every, [], [tests[2:]], every, every]


_PLAIN: dict[str, Any] = {}
_MADE: dict[str, Any] = {}


class Thing:
    """As mutmut writes a class with a change of each method."""

    @swapping.wrap(_PLAIN)
    def plain(self, more: int = 1) -> int:
        return more

    def changed_plain(self, more: int = 2) -> int:
        return -more

    @classmethod
    @swapping.wrap(_MADE, is_classmethod=True)
    def made(cls) -> str:
        return cls.__name__

    @classmethod
    def changed_made(cls) -> str:
        return f"changed {cls.__name__}"


@functools.cache
def remembered(more: int) -> int:
    """What is asked of it is asked of a function that is changed."""
    return int(Thing().plain(more))


_PLAIN["xǁThingǁplain__mutmut_1"] = Thing.changed_plain
_MADE["xǁThingǁmade__mutmut_2"] = Thing.changed_made


def test_a_function_does_what_its_change_does() -> None:
    """Also where somebody holds it already; others stay as they are."""
    held, called = Thing().plain, set[str]()
    with swapping.noting_calls(called):
        assert held() == 1
    assert called == {f"{__name__}.xǁThingǁplain"}
    swapping.change(f"{__name__}.xǁThingǁplain__mutmut_1")
    assert (held(), held(5), Thing.made()) == (-2, -5, "Thing")
    swapping.change(f"{__name__}.xǁThingǁmade__mutmut_2")
    assert Thing.made() == "changed Thing"


def test_each_test_works_out_anew_what_an_earlier_one_has_asked_for() -> None:
    """So it is known which tests reach a function behind a cache, and they run on its changes."""
    remembered(3)
    called: set[str] = set()
    with swapping.noting_calls(called):
        remembered(3)
        assert called == set()
        swapping.forget_answers()
        remembered(3)
    assert called == {f"{__name__}.xǁThingǁplain"}


def _play(trial: Trial) -> dict[str, Any]:
    if trial.change == "fails":
        raise ValueError
    if trial.change == "ends its process":
        os._exit(0)
    if trial.change == "ends with a signal":
        os.kill(os.getpid(), signal.SIGKILL)
    if trial.change == "collects for ever":
        bytearray(2 * children.MEMORY)
    if trial.change == "hangs":
        time.sleep(600)
    return {"said": trial.tests, "folder": tempfile.gettempdir()}


def _trial(change: str, seconds: float = 60.0) -> Trial:
    return Trial(change=change, tests=("one", "two"), seconds=seconds)


def test_each_trial_has_an_outcome_whatever_becomes_of_its_process() -> None:
    """What has said nothing when it ends was noticed by somebody, and so is what does not end."""
    silent = ("fails", "ends its process", "ends with a signal", "collects for ever")
    trials = [_trial("hangs", 0.0), *map(_trial, silent), _trial("")]
    came = {trial.change: told for trial, told in outcomes(trials, _play, 2)}
    said = came.pop("")
    assert came == dict.fromkeys(silent) | {"hangs": TIMEOUT}
    assert said is not None
    assert said["said"] == ["one", "two"]
    assert not Path(said["folder"]).exists()


def test_what_a_trial_leaves_behind_ends_with_it() -> None:
    """A program that its tests started; and all trials, where nobody waits for the rest of them."""

    def leaves(trial: Trial) -> dict[str, Any]:
        with_it = subprocess.Popen(["sleep", "600"])
        if trial.change == "hangs":
            time.sleep(600)
        return {"pid": with_it.pid}

    before = set(psutil.Process().children())
    with closing(outcomes([_trial("hangs"), _trial("")], leaves, 2)) as results:
        _, told = next(iter(results))
        assert told is not None
        psutil.wait_procs([psutil.Process(told["pid"])] if psutil.pid_exists(told["pid"]) else [], timeout=60.0)
        assert not psutil.pid_exists(told["pid"])
    left = set(psutil.Process().children()) - before
    # one whose parent is gone comes to this process, where a test has made it the one that collects them
    assert not [each for each in left if each.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process.pid
        process.kill()


def test_a_process_that_waits_for_a_core_is_given_more_time(sleeper: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it sleeps counts."""
    without_core = 5.0
    monkeypatch.setattr(patience, "waited", lambda pid: without_core)
    clock = Clock(sleeper)
    began = clock.seconds()
    without_core += 1000.0
    assert clock.seconds() < began - 900.0
    without_core -= 1000.0
    assert clock.seconds() >= began


def test_what_a_process_waited_is_known(sleeper: int) -> None:
    """Each has waited for some time after its start."""
    assert patience.waited(sleeper) >= 0.0
    with pytest.raises(FileNotFoundError):
        patience.waited(2**30)


def test_a_trial_has_time_for_its_tests_thrice_and_not_for_ever() -> None:
    assert (limit(0.0), limit(1.0), limit(1000.0)) == (AT_LEAST, AT_LEAST + 3.0, AT_MOST)
