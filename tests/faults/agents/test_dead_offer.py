"""A build that costs three agents their lives is not handed to a fourth."""

from __future__ import annotations

import time

import pytest

from contracts.timing import LIVES
from tests.faults.conftest import Record
from tests.faults.laboratory import processes
from tests.faults.laboratory.lab import Lab


@pytest.mark.long
@pytest.mark.timeout(240)
def test_it_goes_to_dead(settled: Lab, record: Record) -> None:
    """The build ends as EXCEPTION and says why, its offer is in `dead`, and a fourth agent is not asked."""
    master = settled.masters[0]
    request = master.force("slow")
    began = time.monotonic()
    for number in range(1, LIVES + 1):
        agent = settled.agent(f"victim{number}", capabilities=["slow"])
        settled.wait_mark("work", "begin", agent=agent.name, timeout=40)
        processes.kill_all(lambda agent=agent: processes.tree(agent.pid))  # type: ignore[misc]
        agent.kill_main()
    settled.agent("fourth", capabilities=["slow"])
    build = master.finished(request, 60)
    took = time.monotonic() - began
    builds = master.builds(request)
    assert [b.result for b in builds] == ["RETRY"] * (LIVES - 1) + ["EXCEPTION"], master.describe(request)
    assert not [mark for mark in settled.marks() if mark.agent == "fourth"]
    said = "".join(master.output(build, name, streams="h") for name in ("work",)) + build.row["state_string"]
    assert "victim3" in said, said
    (dead,) = settled.asked("dead", "list")
    shown = settled.told("dead", "show", dead["id"])
    settled.told("dead", "drop", dead["id"])
    assert f"br-{request}" in shown, shown
    reason = dead["reason"]
    assert str(LIVES) in reason, reason
    record(
        fault="an offer that costs three agents their lives",
        how="SIGKILL to the process tree of each agent that runs it",
        seen=f"EXCEPTION, not handed to a fourth; in `dead`: {reason}",
        seconds=took,
    )
