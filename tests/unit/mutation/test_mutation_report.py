"""A change that no test noticed is told, unless it is explained; so is an explanation that is no longer needed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.mutation.cache import begin_anew_after_changes
from tests.mutation.own_processes import end_own_processes_only
from tests.mutation.survivors import EXPLAINED, Area, change_of, explained, function_of, judge

#: prctl(2)
PR_SET_CHILD_SUBREAPER = 36
TICKETS = "contracts.trust.tickets.xǁTicketsǁfor_offer__mutmut_{}"
DIFF = """\
# contracts.trust.tickets.xǁTicketsǁfor_offer__mutmut_1: survived
--- contracts/trust/tickets.py
+++ contracts/trust/tickets.py
@@ -1,3 +1,3 @@
 def for_offer(self, run: int) -> str:
-    return self._made(run)
+    return self._made(None)
"""
FUNCTION = "contracts.trust.tickets.Tickets.for_offer"
CHANGE = f"{FUNCTION}: return self._made(run) → return self._made(None)"


def test_a_change_is_told_by_its_function_and_its_text() -> None:
    """mutmut's numbers are others after each change of the function."""
    assert change_of(TICKETS.format(1), DIFF) == CHANGE
    assert change_of(TICKETS.format(5), DIFF) == CHANGE
    assert function_of("contracts.digest.x_command_digest__mutmut_12") == "contracts.digest.command_digest"
    with pytest.raises(ValueError, match="no_name"):
        function_of("no_name")


def test_what_survived_without_an_explanation_is_new() -> None:
    """An explained one is counted as such."""
    statuses = {TICKETS.format(1): "survived", TICKETS.format(2): "killed", TICKETS.format(3): "timeout"}
    verdict = judge(statuses, {TICKETS.format(1): CHANGE}, {})
    assert verdict.new == (CHANGE,)
    assert verdict.areas == {"contracts/trust": Area(killed=1, timeout=1, survived=1)}
    _, figures, line = verdict.lines()
    assert figures.split() == ["contracts/trust", "3", "3", "1", "1", "0", "1", "0"]
    assert line == f"no test noticed: {CHANGE}"
    verdict = judge(statuses, {TICKETS.format(1): CHANGE}, {CHANGE: "why"})
    assert verdict.new == ()
    assert verdict.areas == {"contracts/trust": Area(killed=1, timeout=1, explained=1)}


def test_a_function_that_no_test_runs_is_told_once() -> None:
    """However many changes of it there are; an explanation names the function."""
    statuses = {TICKETS.format(1): "no tests", TICKETS.format(2): "no tests"}
    verdict = judge(statuses, {}, {})
    assert list(verdict.lines())[2:] == [f"no test runs: {FUNCTION}"]
    assert verdict.areas == {"contracts/trust": Area(unrun=2)}
    verdict = judge(statuses, {}, {FUNCTION: "why"})
    assert (verdict.unrun, verdict.killed_since) == ((), ())
    assert verdict.areas == {"contracts/trust": Area(explained=2)}


@pytest.mark.parametrize(("other", "told"), [("killed", (CHANGE,)), ("not checked", ())])
def test_an_explanation_of_what_is_killed_is_old(other: str, told: tuple[str, ...]) -> None:
    """Once all of the function was looked at."""
    statuses = {TICKETS.format(1): "killed", TICKETS.format(2): other}
    assert judge(statuses, {}, {CHANGE: "why"}).killed_since == told


def test_results_are_kept_while_the_same_changes_are_made(tmp_path: Path) -> None:
    """Other settings give them other numbers; what else stands in pyproject.toml does not."""
    (tmp_path / "tests" / "mutation").mkdir(parents=True)
    maker, settings, result = (tmp_path / name for name in ("tests/mutation/mutants.py", "pyproject.toml", "mutants/x"))
    settings.write_text("version = 1\n[tool.mutmut]\na = 1\n")
    maker.write_text("1")
    begin_anew_after_changes(tmp_path)
    result.touch()
    settings.write_text("version = 2\n[tool.mutmut]\na = 1\n")
    begin_anew_after_changes(tmp_path)
    assert result.exists()
    for file, text in ((settings, "[tool.mutmut]\na = 2\n"), (maker, "2")):
        result.touch()
        file.write_text(text)
        begin_anew_after_changes(tmp_path)
        assert not result.exists()
    (tmp_path / "mutants" / "made-by").unlink()
    result.touch()
    begin_anew_after_changes(tmp_path)
    assert not result.exists()


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is none of this one's descendants, also where a test before has made this one a subreaper."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    script = "setsid sleep 300 >/dev/null & echo $!"
    pid = int(subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, text=True, check=True).stdout)
    while os.getpid() in (parent.pid for parent in psutil.Process(pid).parents()):
        time.sleep(0.01)
    yield pid
    os.kill(pid, signal.SIGKILL)


def test_a_changed_reaper_ends_no_process_but_its_tests_own(stranger: int) -> None:
    """By whichever call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "kill", os.kill)
        patch.setattr(os, "killpg", os.killpg)
        end_own_processes_only()
        for end in (lambda: os.kill(stranger, signal.SIGKILL), lambda: os.killpg(stranger, signal.SIGKILL)):
            with pytest.raises(PermissionError):
                end()
        for everybody in (0, -1):
            with pytest.raises(PermissionError):
                os.kill(everybody, signal.SIGKILL)
        with pytest.raises(psutil.AccessDenied):
            psutil.Process(stranger).kill()
        with subprocess.Popen(["sleep", "300"]) as own:
            os.kill(own.pid, signal.SIGKILL)
        assert own.returncode == -signal.SIGKILL
        with pytest.raises(ProcessLookupError):
            os.kill(own.pid, signal.SIGKILL)
    assert psutil.pid_exists(stranger)


def test_each_explained_change_has_a_reason() -> None:
    explained(EXPLAINED.read_text(encoding="utf-8"))
    assert explained(f"# heading\n{CHANGE}\n    because\n    of this\n") == {CHANGE: "because of this"}
    with pytest.raises(ValueError, match="no reason below"):
        explained(f"{CHANGE}\n\nother: a → b\n    because\n")
