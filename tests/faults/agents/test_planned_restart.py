"""An agent is restarted on purpose, or upgraded, in mid-command: the command goes on and is not run again."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

import worker_agent
from tests.faults.conftest import LOG_SIZE, Record
from tests.faults.laboratory.lab import Lab
from tests.harness.agents import Agent
from tests.harness.waiting import wait_for

ONCE = [f"{name} {what}" for name in ("first", "work", "last") for what in ("begin", "end")]


def restart(agent: Agent) -> None:
    """What `systemctl reload`, or an operator, does; returns when it has found its session."""
    os.kill(agent.pid, signal.SIGUSR2)
    wait_for(lambda: "session_found" in agent.log(), 20, lambda: f"taken up again:\n{agent.log()}")


def test_restart_in_mid_command(settled: Lab, record: Record) -> None:
    """SIGUSR2: the same process id, the same command, a byte-exact log, one build."""
    master = settled.masters[0]
    agent = settled.agent("a1")
    request = master.force("b")
    settled.wait_mark("work", "begin")
    pid, began = agent.pid, time.monotonic()
    restart(agent)
    away = time.monotonic() - began
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert settled.ran() == ONCE
    settled.check_text(master, build, "work", LOG_SIZE)
    assert agent.running
    assert agent.pid == pid
    settled.wait_nothing_left()
    record(
        fault="an agent is restarted on purpose in mid-command",
        how="SIGUSR2",
        seen="one build, SUCCESS; the command went on and ran once; log byte-exact (seconds: until it was taken up)",
        seconds=away,
    )


@pytest.mark.long
def test_three_restarts_in_one_command(settled: Lab) -> None:
    """Each new process takes over from the one before."""
    master = settled.masters[0]
    agent = settled.agent("a1", capabilities=["slow"])
    request = master.force("slow")
    settled.wait_mark("work", "begin")
    for number in range(1, 4):
        os.kill(agent.pid, signal.SIGUSR2)
        wait_for(
            lambda number=number: agent.log().count("session_found") == number,  # type: ignore[misc]
            20,
            lambda: f"restart:\n{agent.log()}",
        )
        wait_for(
            lambda number=number: agent.log().count("link_up") > number,  # type: ignore[misc]
            20,
            lambda: f"restart:\n{agent.log()}",
        )
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert settled.ran() == ONCE
    settled.check_text(master, build, "work", LOG_SIZE)
    settled.wait_nothing_left()


def test_upgrade_in_mid_command(settled: Lab, record: Record, tmp_path: Path) -> None:
    """Its code is replaced by that of another version under it; the restart runs the new one, the command goes on."""
    site = tmp_path / "site"
    source = Path(worker_agent.__file__).parents[1]
    for package in ("worker_agent", "contracts"):
        shutil.copytree(source / package, site / package, ignore=shutil.ignore_patterns("__pycache__", "*cache*"))
    master = settled.masters[0]
    # `-c` instead of `-m`: the installed package must not be found before the copy
    start = f"import sys; sys.path.insert(0, {str(site)!r}); from worker_agent.program.cli import main; main()"
    agent = settled.agent("a1", program=(sys.executable, "-c", start))
    request = master.force("b")
    settled.wait_mark("work", "begin")
    began = time.monotonic()
    (site / "contracts/operations/program_version.py").write_text('def version() -> str:\n    return "99.9"\n')
    shutil.rmtree(site / "worker_agent/keeper/__pycache__", ignore_errors=True)
    restart(agent)
    away = time.monotonic() - began
    build = master.finished(request, 60)
    assert [b.result for b in master.builds(request)] == ["SUCCESS"], master.describe(request)
    assert settled.ran() == ONCE
    settled.check_text(master, build, "work", LOG_SIZE)
    second = master.finished(master.force("b"), 60)
    header = master.output(second, "first", streams="h")
    assert second.result == "SUCCESS", header
    assert "version: 99.9" in master.step_log(second, "worker_preparation", "agent")
    settled.wait_nothing_left()
    record(
        fault="an agent is upgraded to another version in mid-command",
        how="its packages replaced under it, then SIGUSR2",
        seen="one build, SUCCESS; the command went on and ran once; log byte-exact; the next build shows "
        "the new version",
        seconds=away,
    )
