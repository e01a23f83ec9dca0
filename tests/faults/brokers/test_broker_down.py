"""The broker dies, or is away for a minute, in mid-build with much log: nothing is lost, nothing runs twice."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Record
from tests.faults.laboratory.lab import Lab
from tests.harness.waiting import wait_for

#: The test's own waits are the bounds; a loaded machine takes a minute to start a broker.
pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(900)]

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]
MEGABYTE = 1_000_000


@pytest.mark.brokers
@pytest.mark.parametrize(
    ("size", "seconds"),
    [(3 * MEGABYTE, 12.0), pytest.param(50 * MEGABYTE, 25.0, marks=pytest.mark.long)],
    ids=["3MB", "50MB"],
)
def test_broker_killed_and_started_again(own_lab: Lab, record: Record, size: int, seconds: float) -> None:
    """kill -9 of the broker in mid-command: one build, each command ran once, log byte-exact."""
    lab = own_lab
    master = lab.master(lab.column(steps=lab.three_steps(seconds=seconds, size=size)))
    lab.agent("a1")
    lab.agent("a2")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    wait_for(lambda: master.step_running(request, "work"), 10, "the step runs")
    began = time.monotonic()
    lab.node.kill()
    lab.node.restart()
    away = time.monotonic() - began
    build = master.finished(request, 150)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", size)
    lab.wait_nothing_left()
    record(
        fault=f"broker killed and started again under {size // MEGABYTE} MB of log",
        how=f"SIGKILL to the Erlang machine, start (away for {away:.0f} s)",
        seen="one build, SUCCESS; each command ran once; log byte-exact (seconds: from the kill to the build's end)",
        seconds=time.monotonic() - began,
    )


@pytest.mark.long
def test_broker_away_for_a_minute(own_lab: Lab, record: Record) -> None:
    """Stopped for 60 s in mid-build with 50 MB of log: the same; the agent spools meanwhile."""
    lab = own_lab
    size = 50 * MEGABYTE
    master = lab.master(lab.column(steps=lab.three_steps(seconds=40, size=size)))
    lab.agent("a1")
    lab.agent("a2")
    request = master.force("b")
    lab.wait_mark("work", "begin")
    master.step_running(request, "work")
    began = time.monotonic()
    lab.node.stop()
    lab.wait_mark("work", "end", timeout=60)  # the command is not held up
    wait_for(lambda: time.monotonic() > began + 60, 70, "a minute", every=0.5)
    lab.node.restart()
    back = time.monotonic()
    build = master.finished(request, 180)
    took = time.monotonic() - back
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert lab.ran() == ONCE
    lab.check_text(master, build, "work", size)
    lab.wait_nothing_left()
    record(
        fault="broker stopped for 60 s under 50 MB of log",
        how="SIGTERM, start after 60 s",
        seen="one build, SUCCESS; the command was not held up and ran once; log byte-exact (seconds: from the broker's "
        "return to the build's end)",
        seconds=took,
    )


@pytest.mark.long
def test_broker_away_while_builds_wait(own_lab: Lab, record: Record) -> None:
    """Builds that wait for an agent when the broker is killed are offered again, and each runs once."""
    lab = own_lab
    config = lab.column(workers=6, steps=lab.three_steps(seconds=0.5)) + "c['collapseRequests'] = False\n"
    master = lab.master(config)
    requests = [master.force("b") for _ in range(6)]
    wait_for(lambda: lab.queues().get("cap.gtk") == 6, 30, "six offers wait")
    began = time.monotonic()
    lab.node.kill()
    lab.node.restart()
    lab.agent("a1")
    for request in requests:
        master.finished(request, 120)
        assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert sorted(lab.ran()) == sorted(ONCE * 6)
    lab.wait_nothing_left()
    record(
        fault="broker killed while six builds wait",
        how="SIGKILL, start, then an agent",
        seen="six builds, SUCCESS; each command ran once; no offer is left (seconds: to the last build's end)",
        seconds=time.monotonic() - began,
    )
