"""An agent's link is lost for less than the grace, or reset: the step goes on, and no byte of its log is missing."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import LOG_SIZE, LOUD_SIZE, Record
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.proxy import Proxy
from tests.harness.waiting import wait_for

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]


@pytest.mark.parametrize("seconds", [0.0, 3.0], ids=["reset", "cut-3s"])
def test_the_step_goes_on(settled: Lab, record: Record, seconds: float) -> None:
    """One build, SUCCESS; each command ran once, the log is byte-exact."""
    master = settled.masters[0]
    with Proxy(settled.way.port) as proxy:
        agent = settled.agent("a1", by=proxy.port)
        request = master.force("b")
        settled.wait_mark("work", "begin")
        wait_for(lambda: master.output(master.step_running(request, "work"), "work"), 15, "some log")
        before = proxy.accepted
        began = time.monotonic()
        if seconds:
            proxy.cut()
            wait_for(lambda: time.monotonic() > began + seconds, 10, "the cut")
            proxy.heal()
        else:
            proxy.reset()
        wait_for(lambda: proxy.accepted > before, 15, lambda: f"the agent is back:\n{agent.log()}")
        away = time.monotonic() - began
        build = master.finished(request, 60)
        assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
        assert settled.ran() == ONCE
        settled.check_text(master, build, "work", LOG_SIZE)
        settled.wait_nothing_left()
    record(
        fault=f"the agent's link is cut for {seconds:.0f} s" if seconds else "the agent's TCP connections are reset",
        how="a proxy between agent and broker "
        + ("resets both connections and refuses new ones" if seconds else "resets both connections"),
        seen="the step goes on; each command ran once; log byte-exact (seconds: until the agent was back)",
        seconds=away,
    )


def test_three_resets_under_a_large_log(settled: Lab, record: Record) -> None:
    """What was published, not confirmed, is published again; what was stored is not stored twice."""
    master = settled.masters[0]
    with Proxy(settled.way.port) as proxy:
        settled.agent("a1", by=proxy.port, capabilities=["loud"])
        request = master.force("loud")
        settled.wait_mark("work", "begin")
        for share in (0.1, 0.3, 0.6):
            _wait_for_lines(settled, request, int(share * LOUD_SIZE / 100))
            proxy.reset()
        build = master.finished(request, 60)
        assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
        assert settled.ran() == ONCE
        settled.check_text(master, build, "work", LOUD_SIZE)
        settled.wait_nothing_left()
    record(
        fault="the agent's TCP connections are reset three times under 10 MB of log",
        how="a proxy between agent and broker resets both connections",
        seen="the step goes on; log byte-exact",
        seconds=None,
    )


def _wait_for_lines(lab: Lab, request: int, number: int) -> None:
    master = lab.masters[0]

    def look() -> bool:
        build = master.builds(request)[-1]
        logs = master.get(f"/steps/{build.steps['work']['stepid']}/logs")["logs"] if "work" in build.steps else []
        return bool(logs) and int(logs[0]["num_lines"]) > number

    wait_for(look, 60, lambda: f"{number} lines of log: {master.describe(request)}")
