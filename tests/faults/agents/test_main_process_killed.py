"""Only the agent's main process is killed with -9: its commands go on with the next one, or not at all."""

from __future__ import annotations

import time

import pytest

from contracts.timing import GRACE
from tests.faults.conftest import LOG_SIZE, Record
from tests.faults.laboratory.lab import Lab


def test_a_restarted_agent_takes_the_command_up(settled: Lab, record: Record) -> None:
    """Restarted within the grace: the build goes on, no command is run twice, and the log is byte-exact."""
    master = settled.masters[0]
    agent = settled.agent("a1")
    request = master.force("b")
    settled.wait_mark("work", "begin")
    killed = time.monotonic()
    agent.kill_main()
    agent.start()
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert settled.ran() == [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]
    settled.check_text(master, build, "work", LOG_SIZE)
    settled.wait_nothing_left()
    assert agent.log().count("session_found") == 1
    record(
        fault="the agent's main process killed, started again at once",
        how="SIGKILL to the main process, then `worker-agent` again",
        seen="one build, SUCCESS; each command ran once; log byte-exact (seconds: from the kill to the build's end)",
        seconds=time.monotonic() - killed,
    )


@pytest.mark.long  # its bound in seconds wants a machine that is not busy with other tests
def test_nobody_takes_it_up(settled: Lab, record: Record) -> None:
    """Not restarted: the command's whole tree is gone, and the build runs elsewhere."""
    master = settled.masters[0]
    first = settled.agent("a1", capabilities=["slow"])
    request = master.force("slow")
    settled.wait_mark("work", "begin", agent="a1")
    assert len(settled.processes_of(first)) >= 3, "main process, keeper, command"
    killed = time.time()
    first.kill_main()
    settled.agent("a2", capabilities=["slow"])
    elsewhere = settled.wait_mark("first", "begin", agent="a2").time - killed
    settled.wait_no_process(15, first)
    gone = time.time() - killed
    assert elsewhere < GRACE + 4  # by AMP half a second more: the keeper holds the connection for so long
    assert gone < 15
    master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    assert "work end" not in [f"{mark.name} {mark.what}" for mark in settled.marks() if mark.agent == "a1"]
    first.start()
    settled.wait_nothing_left()
    record(
        fault="the agent's main process killed, nobody starts it again",
        how="SIGKILL to the main process",
        seen=f"RETRY, then SUCCESS on another agent; the command's tree was gone after {gone:.1f} s",
        seconds=elsewhere,
    )
