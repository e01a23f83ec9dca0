"""mutmut, with each change's tests in two stages. `python -m tests.mutation.mutants …` is `mutmut …`."""

from __future__ import annotations

import os
from collections.abc import Iterable

import psutil
from mutmut import __main__ as program
from mutmut.configuration import config
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.workers.isolation import ForkServerRunner

from tests.mutation.nearest import reaches, stages

#: By which a program that a test starts would learn of the change, and run changed code that nothing holds.
_VARIABLE = "MUTANT_UNDER_TEST"
_kill, _killpg = os.kill, os.killpg


class StagedRunner(PytestRunner):
    """Runs what is likely to notice a change first; the rest of its tests where that lets it pass."""

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Returns pytest's exit status: 0 where no test fails."""
        if mutant_name is None:
            return int(super().run_tests(mutant_name=mutant_name, tests=tests))
        os.environ.pop(_VARIABLE, None)  # mutmut knows it without, too
        _end_own_processes_only()
        status = 0
        for part in stages(tests, reaches(state().tests_by_mangled_function_name), state().duration_by_test):
            if part and status == 0:
                status = int(super().run_tests(mutant_name=mutant_name, tests=part))
        return status


def _end_own_processes_only() -> None:
    """A change of what decides which processes are ended may find all of the machine's."""
    ours = os.getpid()

    def may(pid: int) -> None:
        if pid != ours and ours not in (parent.pid for parent in psutil.Process(pid).parents()):
            raise PermissionError(f"process {pid} is none of this test's")

    def kill(pid: int, number: int) -> None:
        may(pid)
        _kill(pid, number)

    def killpg(group: int, number: int) -> None:
        may(group)
        _killpg(group, number)

    os.kill, os.killpg = kill, killpg


def staged(max_workers: int = 1) -> ForkServerRunner:
    """In place of mutmut's `get_mutant_runner`."""
    return ForkServerRunner(
        max_workers=max_workers,
        test_runner_class=StagedRunner,
        test_runner_args={},
        max_restarts=config().max_forkserver_restarts,
    )


program.get_mutant_runner = staged

if __name__ == "__main__":
    program.cli()
