"""`python -m tests.mutation.trials JOBS`, in `mutants/`: reads names of mutants, tells what became of each.

Standard input: a JSON list. Standard output: one JSON list a line, name and exit status as mutmut numbers them. Tests
are collected once; instead of running them, pytest is made to have children try changes. A change may decide which
processes are ended: it ends none but those of its own tests, and no other program runs it.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn, TextIO

import pytest
import structlog
from _pytest import unittest
from mutmut.configuration import config
from mutmut.mutation import trampoline
from mutmut.utils.file_utils import walk_mutatable_files

from tests.mutation import swapping
from tests.mutation.children import TIMEOUT, Told, Trial, outcomes
from tests.mutation.own_processes import end_own_processes_only
from tests.mutation.patience import Clock, limit
from tests.mutation.reach import LONGEST, Reach, Seen, measured
from tests.mutation.survivors import function_of

#: By which tests know that they run here, and a program that a test starts would learn of the change.
VARIABLE = "MUTANT_UNDER_TEST"
#: mutmut's numbers.
SURVIVED, KILLED, NO_TESTS, TIMED_OUT = 0, 1, 33, 36
#: Seen from `mutants/`, which is thrown away now and then.
REACH = Path("../build/mutation-reach.json")

trampoline.wrap_in_trampoline = swapping.wrap  # before a changed module is imported
unittest._get_twisted_version = functools.cache(unittest._get_twisted_version)  # which pytest reads for each test


class Trials:
    """A plugin of pytest's."""

    def __init__(self, mutants: Sequence[str], results: TextIO, jobs: int) -> None:
        self._mutants = mutants
        self._results = results
        self._jobs = jobs
        self._items: dict[str, pytest.Item] = {}
        self._failures: list[str] = []
        #: of each function the tests that have noticed a change of it, the last first
        self._noticed: defaultdict[str, list[str]] = defaultdict(list)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """What a failure looks like is nobody's concern: files of changes are long, and few failures are read."""
        import hypothesis  # no earlier than its plugin

        find_only = hypothesis.settings(phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate))
        hypothesis.settings.register_profile("trials", find_only)
        hypothesis.settings.load_profile("trials")
        structlog.dev.RichTracebackFormatter.__call__ = _plain  # type: ignore[assignment]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's."""
        if session.testsfailed:
            raise session.Interrupted("a module of tests cannot be loaded")
        self._items = {item.nodeid: item for item in session.items}
        unittest._get_twisted_version()
        gc.collect()
        gc.disable()  # nobody lives long
        gc.freeze()  # what is loaded stays shared
        reach = measured(self._items, self._measure, REACH, walk_mutatable_files())
        for trial, told in outcomes(self._trials(reach), self._play, self._jobs):
            self._tell(trial.change, _exit_status(told))
            if told and told is not TIMEOUT and told["failures"]:
                self._noticed[function_of(trial.change)].insert(0, trial.tests[len(told["tests"])])
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failures.append(f"{report.nodeid} ({report.when})\n{report.longreprtext}")

    # ---- what runs

    def _trials(self, reach: Reach) -> Iterator[Trial]:
        for mutant in self._mutants:
            tests = reach.nearest(mutant)
            if tests:
                # who noticed one change of a function often notices the next
                tests = list(dict.fromkeys((*self._noticed[function_of(mutant)], *tests)))
                seconds = limit(sum(reach.seconds[test] for test in tests))
                yield Trial(change=mutant, tests=tuple(tests), seconds=seconds)
            else:
                self._tell(mutant, NO_TESTS)

    def _measure(self, files: list[list[str]]) -> Iterator[Seen]:
        """The tests of each file have a child of their own."""
        trials = (Trial(change="", tests=tuple(tests), seconds=LONGEST) for tests in files)
        failed: list[str] = []
        for trial, told in outcomes(trials, self._play, self._jobs):
            if told is None or told is TIMEOUT:
                raise pytest.UsageError(f"do not end as tests do: {trial.tests}")
            if told["failures"]:
                print(f"fails before anything is changed: {told['failures'][0]}", flush=True)
                failed.append(told["failures"][0].partition("\n")[0])
            else:
                yield told["tests"]
            print(f"measured: {trial.tests[0].partition('::')[0]}", flush=True)
        if failed:
            raise pytest.UsageError(f"fails before anything is changed: {', '.join(failed)}")

    def _tell(self, mutant: str, status: int) -> None:
        print(json.dumps([mutant, status]), file=self._results, flush=True)

    # ---- in a child

    def _play(self, trial: Trial) -> dict[str, Any]:
        """What failed first, and of each test that ran its seconds and the functions that it called."""
        os.environ.pop(VARIABLE)
        end_own_processes_only()
        called: set[str] = set()
        if trial.change:
            swapping.change(trial.change)
        items = [self._items[test] for test in trial.tests]
        tests: Seen = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            called.clear()
            swapping.forget_answers()
            clock, began = Clock(os.getpid()), time.process_time()
            with nullcontext() if trial.change else swapping.noting_calls(called):
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failures:
                break
            tests[item.nodeid] = {
                "seconds": clock.seconds(),
                "busy": time.process_time() - began,
                "functions": sorted(called),
            }
        return {"failures": self._failures, "tests": tests}


def _plain(_: object, to: TextIO, error: Any) -> None:
    structlog.dev.plain_traceback(to, error)


def _exit_status(told: Told) -> int:
    if told is TIMEOUT:
        return TIMED_OUT
    return KILLED if told is None or told["failures"] else SURVIVED


def _leave(number: int, _: object) -> NoReturn:
    """What runs is ended first."""
    raise KeyboardInterrupt


def main() -> int:
    mutants, jobs = json.load(sys.stdin), int(sys.argv[1])
    os.environ[VARIABLE] = "none"
    signal.signal(signal.SIGTERM, _leave)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as results:
        os.dup2(2, 1)
        selected = [*config().pytest_add_cli_args_test_selection, *config().pytest_add_cli_args]
        return int(
            pytest.main(
                ["--rootdir=.", "--capture=no", "--tb=native", *selected], plugins=[Trials(mutants, results, jobs)]
            )
        )


if __name__ == "__main__":
    sys.exit(main())
