"""mutmut, as this project uses it. `python -m tests.mutation.mutants …` is `mutmut …`.

- The tests of a change run in two stages (nearest.py).
- A text is changed once, not three times: who notices one change of it notices the others. False is not made None,
  which is false as well.
- What no test noticed is tried anew with each run, unless it is explained: there may be a test by now. Other results
  stand, also where names of changes are given.
- The changes of all files are tried in one mixed order: what a run that is stopped has tried is a fair sample.
- Processes of tests share what is loaded (`warm_up`), and do not look through it for garbage.
- What a test waits for a core is not counted as its time (patience.py).
- A change may decide which processes are ended. It ends none but those of its own tests, and no other program runs it.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import libcst
import pytest
from _pytest import unittest
from mutmut import __main__ as program
from mutmut.configuration import config
from mutmut.mutation import diff_apply, mutators
from mutmut.mutation.data import SourceFileMutationData
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.workers import isolation

from tests.mutation.nearest import is_left_out, reaches, stages
from tests.mutation.own_processes import end_own_processes_only
from tests.mutation.patience import end_after
from tests.mutation.survivors import EXPLAINED, UNNOTICED, change_of, explained

#: By which a program that a test starts would learn of the change.
_VARIABLE = "MUTANT_UNDER_TEST"
#: What mutmut sets it to when it makes sure that tests fail where code fails.
_FAIL = "fail"


# ---- how tests run


class StagedRunner(PytestRunner):
    """Runs what is likely to notice a change first; the rest of its tests where that lets it pass."""

    #: tests run on a change
    _changed = False

    def warm_up(self) -> None:
        """As mutmut's: the tests are loaded. That is not looked through at the end of each run."""
        super().warm_up()
        gc.collect()
        gc.freeze()

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Returns pytest's exit status: 0 where no test fails."""
        if mutant_name is None:
            seconds = state().duration_by_test
            worth = [test for test in tests if not is_left_out(test, seconds)]
            return int(super().run_tests(mutant_name=mutant_name, tests=worth))
        self._changed = True
        os.environ.pop(_VARIABLE, None)  # mutmut knows it without, too
        end_own_processes_only()
        status = 0
        for part in stages(tests, reaches(state().tests_by_mangled_function_name), state().duration_by_test):
            if part and status == 0:
                status = int(super().run_tests(mutant_name=mutant_name, tests=part))
        return status

    def execute_pytest(self, params: list[str], **more: Any) -> int:
        """As mutmut's, which says nothing of what fails before anything was changed."""
        if not self._changed and os.environ.get(_VARIABLE) != _FAIL:
            more["plugins"] = [*more.get("plugins", ()), _Failures()]
        return int(super().execute_pytest(params, **more))


class _Failures:
    """Tells what fails where it should not: past mutmut, which keeps what tests print."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(2, f"\n{report.nodeid} ({report.when})\n{report.longreprtext}\n".encode())


def _staged(max_workers: int = 1) -> isolation.ForkServerRunner:
    """In place of mutmut's `get_mutant_runner`."""
    return isolation.ForkServerRunner(
        max_workers=max_workers,
        test_runner_class=StagedRunner,
        test_runner_args={},
        max_restarts=config().max_forkserver_restarts,
    )


# ---- what is changed


def _text_once(node: Any) -> Iterator[Any]:
    yield from islice(mutators.operator_string(node), 1)


def _assignment(node: Any) -> Iterator[Any]:
    if not (isinstance(node.value, libcst.Name) and node.value.value == "False"):
        yield from mutators.operator_assignment(node)


_OURS: dict[Any, Any] = {mutators.operator_string: _text_once, mutators.operator_assignment: _assignment}


# ---- in which order

_collect = program.collect_source_file_mutation_data


def _untried(*, mutant_names: Any) -> Any:
    """As mutmut's, without what has a result: mutmut tries that again where names are given."""
    mutants, by_path = _collect(mutant_names=mutant_names)
    return [each for each in mutants if each[2] is None], by_path


def _mixed(mutant: str) -> str:
    """In place of mutmut's estimate of a change's time, by which it sorts."""
    return hashlib.sha256(mutant.encode()).hexdigest()


# ---- what became of it


def statuses() -> dict[str, str]:
    """Of the last run and those before it: name of a mutant -> status."""
    return {name: status for _, name, status in _known()}


def changes(of: Iterable[str]) -> dict[str, str]:
    """Mutants with one of these statuses: name -> `change_of` it."""
    wanted, found = set(of), {}
    for path, name, status in _known():
        if status in wanted:
            found[name] = change_of(name, diff_apply.get_diff_for_mutant(name, path=path))
    return found


def _known() -> Iterator[tuple[Any, str, str]]:
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        yield from ((path, name, status_by_exit_code[status]) for name, status in data.exit_code_by_key.items())


def _try_anew() -> None:
    known = explained(EXPLAINED.read_text(encoding="utf-8"))
    again = {name for name, change in changes(UNNOTICED).items() if change not in known}
    program._reset_mutant_results(lambda name, _: name in again)


program.get_mutant_runner = _staged
program.collect_source_file_mutation_data = _untried
program.estimated_worst_case_time = _mixed
isolation.register_timeout = end_after
unittest._get_twisted_version = functools.cache(unittest._get_twisted_version)  # which pytest reads for each test
mutators.mutation_operators[:] = [
    (kind, _OURS.get(operator, operator)) for kind, operator in mutators.mutation_operators
]

if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        _try_anew()
    program.cli()
