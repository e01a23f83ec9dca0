"""Thousands of steps that a program says, through ten deaths of the master: every command ran once."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.buildbot.pipelines.killed import CONFIG, check_once, kill_through, ran
from tests.faults.conftest import Record
from tests.faults.laboratory.lab import Lab
from tests.harness.waiting import wait_for

STEPS = 2000
KILLS = 10
PATIENCE = 6000.0


@pytest.mark.timeout(7200)
def test_two_thousand_steps_through_ten_deaths_of_the_master(lab: Lab, record: Record, tmp_path: Path) -> None:
    """Half of them in the build's own folder, half anywhere."""
    file = tmp_path / "ran"
    master = lab.master(CONFIG.format(steps=STEPS, ran=file, python=sys.executable))
    lab.agent("a1", capabilities=["make"], slots=2)
    lab.agent("a2", slots=2)
    began = time.monotonic()
    request = master.force("b")
    build = kill_through(master, request, file, steps=STEPS, kills=KILLS, patience=PATIENCE)
    assert [each.result for each in master.builds(request)] == ["RETRY"] * KILLS + ["SUCCESS"]
    check_once(master, build, file, steps=STEPS)
    lab.wait_nothing_left()
    record(
        fault=f"master killed {KILLS} times in a pipeline of {STEPS} steps",
        how="SIGKILL, start, evenly spread",
        seen=f"{KILLS} x RETRY, then SUCCESS; each of {STEPS} commands ran once, each log complete",
        seconds=time.monotonic() - began,
    )


@pytest.mark.timeout(1800)
def test_an_agent_that_is_killed_and_started_again(lab: Lab, record: Record, tmp_path: Path) -> None:
    """Its main process; its commands run on, and no command runs twice."""
    steps = 100
    file = tmp_path / "ran"
    master = lab.master(CONFIG.format(steps=steps, ran=file, python=sys.executable))
    agent = lab.agent("a1", capabilities=["make"], slots=4)
    began = time.monotonic()
    request = master.force("b")
    for part in (1, 2, 3):
        wait_for(lambda w=steps * part // 4: len(ran(file)) >= w, 300, "some commands ran", every=0.05)  # type: ignore[misc]  # mypy: defaults of lambdas
        agent.kill_main()
        agent.start()
    build = master.finished(request, 600)
    check_once(master, build, file, steps=steps)
    record(
        fault=f"agent's main process killed 3 times in a pipeline of {steps} steps",
        how="SIGKILL, start at once",
        seen=f"SUCCESS; each of {steps} commands ran once",
        seconds=time.monotonic() - began,
    )
