"""An agent is told to take nothing new, to leave, or to stop at once, in mid-command: nothing is lost or run twice."""

from __future__ import annotations

import os
import signal
import time

from tests.faults.conftest import LOG_SIZE, Record
from tests.faults.laboratory.lab import Lab
from tests.harness.waiting import wait_for

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]


def ran_on(lab: Lab, agent: str) -> list[str]:
    return [f"{mark.name} {mark.what}" for mark in lab.marks() if mark.agent == agent]


def test_paused_by_an_operator_and_resumed(settled: Lab, record: Record) -> None:
    """What it runs goes on to its end; what comes meanwhile runs elsewhere; resumed, it takes work again."""
    master = settled.masters[0]
    settled.agent("a1")
    first = master.force("b")
    settled.wait_mark("work", "begin")
    began = time.monotonic()
    settled.told("drain", "a1", "--reason", "a new disk", "--wait", "60")
    drained = time.monotonic() - began
    build = master.finished(first, 60)
    assert [b.result for b in master.builds(first)] == ["SUCCESS"], master.describe(first)
    assert settled.ran() == ONCE
    settled.check_text(master, build, "work", LOG_SIZE)
    other = settled.agent("a2")
    assert master.properties(master.finished(master.force("b"), 60))["agent"] == "a2"
    other.stop()
    waits = master.force("b")
    agents = settled.asked("fleet", "--no-queues")["agents"]
    assert [agent["state"] for agent in agents if agent["agent"].partition("@")[0] == "a1"] == ["paused"]
    assert ran_on(settled, "a1") == ONCE
    settled.told("resume", "a1")
    assert master.properties(master.finished(waits, 60))["agent"] == "a1"
    settled.wait_nothing_left()
    record(
        fault="an agent is drained by an operator in mid-command",
        how="`master-bridge drain --wait`, later `resume`",
        seen="SUCCESS on that agent, log byte-exact; the next build ran on another agent, the one after `resume` on it "
        "again (seconds: until it was drained)",
        seconds=drained,
    )


def test_told_to_leave(settled: Lab, record: Record) -> None:
    """SIGTERM: it ends its build and then itself, with status 0; what comes meanwhile runs elsewhere."""
    master = settled.masters[0]
    agent = settled.agent("a1")
    first = master.force("b")
    settled.wait_mark("work", "begin")
    settled.agent("a2")
    began = time.monotonic()
    os.kill(agent.pid, signal.SIGTERM)
    wait_for(lambda: "draining" in agent.log(), 30, lambda: f"it leaves:\n{agent.log()}")
    second = master.force("b")
    build = master.finished(first, 60)
    wait_for(lambda: not agent.running, 30, lambda: f"it has ended:\n{agent.log()}")
    took = time.monotonic() - began
    assert [b.result for b in master.builds(first)] == ["SUCCESS"], master.describe(first)
    settled.check_text(master, build, "work", LOG_SIZE)
    assert master.properties(master.finished(second, 60))["agent"] == "a2"
    assert (ran_on(settled, "a1"), ran_on(settled, "a2")) == (ONCE, ONCE)
    settled.wait_nothing_left()
    record(
        fault="an agent is told to leave in mid-command",
        how="SIGTERM",
        seen="it ended its build (SUCCESS, log byte-exact), then itself; the next build ran on another agent (seconds: "
        "until it was gone)",
        seconds=took,
    )


def test_told_to_stop_at_once(settled: Lab, record: Record) -> None:
    """It kills what runs and gives it back: the build runs elsewhere, and nobody waits for any grace."""
    master = settled.masters[0]
    agent = settled.agent("a1", capabilities=["slow"])
    request = master.force("slow")
    settled.wait_mark("work", "begin")
    settled.agent("a2", capabilities=["slow"])
    stopped = time.time()
    settled.told("stop", "a1", "--now")
    elsewhere = settled.wait_mark("first", "begin", agent="a2", timeout=60).time - stopped
    build = master.finished(request, 90)
    assert [b.result for b in master.builds(request)] == ["RETRY", "SUCCESS"], master.describe(request)
    settled.check_text(master, build, "work", LOG_SIZE)
    assert (ran_on(settled, "a1"), ran_on(settled, "a2")) == (ONCE[:3], ONCE)
    wait_for(lambda: not agent.running, 30, lambda: f"it has ended:\n{agent.log()}")
    settled.wait_nothing_left()
    record(
        fault="an agent is told to stop at once in mid-command",
        how="`master-bridge stop --now`",
        seen="RETRY, then SUCCESS on another agent; the command was killed first (seconds: until it ran there)",
        seconds=elsewhere,
    )
