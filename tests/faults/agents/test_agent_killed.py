"""All of an agent is killed with -9 in mid-command: its machine, its container, its process tree."""

from __future__ import annotations

import time

import pytest

from contracts.timing import GRACE
from tests.faults.conftest import LOG_SIZE, Record
from tests.faults.laboratory import processes
from tests.faults.laboratory.lab import Lab


@pytest.mark.long  # its bound in seconds wants a machine that is not busy with other tests
def test_the_build_runs_elsewhere(settled: Lab, record: Record) -> None:
    """The build is RETRY and runs on another agent within the grace and 3 s, by AMP within less than the grace.

    No process is left of the first.
    """
    master = settled.masters[0]
    first = settled.agent("a1")
    request = master.force("b")
    settled.wait_mark("work", "begin", agent="a1")
    settled.agent("a2")
    killed = time.time()
    processes.kill_all(lambda: processes.tree(first.pid))
    first.kill_main()
    elsewhere = settled.wait_mark("first", "begin", agent="a2").time - killed
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert settled.ran() == ["first begin", "first end", "work begin"] + [
        f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")
    ]
    settled.check_text(master, build, "work", LOG_SIZE)
    died = "a1 died" in master.output(master.builds(request)[0], "work", streams="h")
    assert elsewhere < (GRACE if died else GRACE + 3)
    assert not settled.processes_of(first)
    first.start()  # its state folder is as it was left: it is refused, and cleans up
    settled.wait_nothing_left()
    record(
        fault="all of an agent killed in mid-command",
        how="SIGKILL to its process tree, frozen first so that nobody reacts",
        seen="RETRY, then SUCCESS on another agent; log byte-exact; no process, session folder or message left",
        seconds=elsewhere,
    )


def test_the_reason_stands_in_the_step(settled: Lab) -> None:
    """The broken-off step says which agent was lost, and that the build runs again: not a failure of the command."""
    master = settled.masters[0]
    first = settled.agent("a1", capabilities=["slow"])
    request = master.force("slow")
    settled.wait_mark("work", "begin", agent="a1")
    processes.kill_all(lambda: processes.tree(first.pid))
    first.kill_main()
    settled.agent("a2", capabilities=["slow"])
    settled.wait_mark("work", "begin", agent="a2")
    broken = master.builds(request)[0]
    assert (broken.result, broken.step_result("work")) == ("RETRY", "RETRY")
    said = master.output(broken, "work", streams="h")
    assert "a1" in said, said
    assert "runs again" in said, said
    assert "a1" in broken.row["state_string"], broken.row["state_string"]
    # its kernel resets the connection where a ping came in the moment before it was killed
    assert settled.tells_deaths or "a1 died" not in said, said
