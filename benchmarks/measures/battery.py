"""A battery of tests beside static splitting and pytest-xdist: tests that sleep, on agents of which two are slow.

Sleeping tests need no processor, so that eight agents are eight machines here, too. Static splitting is played on the
same agents: each of its parts is one unit, of which each agent takes one.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report.figures import Wrong
from benchmarks.stand.stage import Stage
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.unit.battery.fleet import Machine, Simulation, World

AGENTS, SLOW, SLOWER = 8, 2, 4.0
#: Seconds of all tests, and how many they are.
WORK, TESTS = 195.0, 240
#: What an agent runs: sleeps for the seconds that stand in a unit's name.
RUNNER = """
import os, sys, time
slower = float(os.environ["SLOWER"])
begun = {unit: None for unit in sys.argv[1:]}
cases = []
for unit in begun:
    seconds = sum(float(part) for part in unit.split("_")[1:]) * slower
    time.sleep(seconds)
    cases.append(f'<testcase name="{unit}" time="{seconds:.3f}"/>')
open("junit.xml", "w").write("<testsuite>" + "".join(cases) + "</testsuite>")
"""
XDIST = """
import pytest, time
@pytest.mark.parametrize("seconds", {seconds!r})
def test_sleeps(seconds): time.sleep(seconds)
"""


def run(stage: Stage) -> None:
    seconds = durations(stage.quick)
    speed = AGENTS - SLOW + SLOW / SLOWER
    least = sum(seconds.values()) / speed
    real(stage, seconds, least)
    xdist(stage, seconds)
    for what, timings in (("simulated, first run", {}), ("simulated, learned", seconds)):
        machines = tuple(Machine(name=f"a{n}", speed=1 / SLOWER if n < SLOW else 1.0) for n in range(AGENTS))
        took = Simulation(World(machines=machines, seconds=seconds, timings=timings)).run()
        stage.add("battery", "time : (all work : all speed)", what, "", "less", [took / least])


def durations(quick: bool) -> dict[str, float]:
    """By unit, whose name says it: "t7_0.812"."""
    dice = random.Random(1)
    drawn = [dice.lognormvariate(0, 0.6) for _ in range(TESTS // 4 if quick else TESTS)]
    scale = WORK * (0.25 if quick else 1) / sum(drawn)
    return {f"t{n}_{value * scale:.3f}": round(value * scale, 3) for n, value in enumerate(drawn)}


def parts(seconds: Mapping[str, float], *, timed: bool) -> list[str]:
    """Static splitting into as many parts as there are agents: equal numbers, or equal times (the longest first)."""
    groups: list[list[float]] = [[] for _ in range(AGENTS)]
    for place, value in enumerate(sorted(seconds.values(), reverse=True) if timed else seconds.values()):
        (min(groups, key=sum) if timed else groups[place % AGENTS]).append(value)
    return ["_".join([f"part{n}", *(f"{value:.3f}" for value in group)]) for n, group in enumerate(groups)]


def real(stage: Stage, seconds: Mapping[str, float], least: float) -> None:
    """Static splitting and batteries on agents of one master."""
    runner = stage.folder / "runner.py"
    runner.write_text(RUNNER)
    cases = {
        "static": parts(seconds, timed=False),
        "static-timed": parts(seconds, timed=True),
        "battery": list(seconds),
    }
    command = f"[{sys.executable!r}, {str(runner)!r}, util.Units()]"
    config = "c['workers'] = [worker.LocalWorker('here')]\n" + "".join(
        f"builder({name!r}, c['workers'], steps.Battery(units={units!r}, command={command}, requires=['python'], "
        "report='junit.xml', target_seconds=600))\n"
        for name, units in cases.items()
    )
    master = BuildMaster(stage.folder / "battery", config, url=stage.node.url)
    master.create()
    agents = [
        Agent(
            stage.folder / f"agent-{n}", stage.node.url, name=f"a{n}", capabilities=["python=3.11"],
            environment={"SLOWER": str(SLOWER if n < SLOW else 1.0)},
        )
        for n in range(AGENTS)
    ]  # fmt: skip
    try:
        master.start()
        master.wait_linked()
        for agent in agents:
            agent.start()
        wait_for(lambda: all("added=['cap." in agent.log() for agent in agents), 120, "all agents take work")
        for name, what in (*((name, name) for name in cases), ("battery", "battery, learned")):
            took = play(master, name)
            stage.add("battery", "seconds for all tests", what, "s", "less", [took])
            stage.add("battery", "time : (all work : all speed)", what, "", "less", [took / least])
    finally:
        for agent in agents:
            agent.stop(timeout=5)
        master.kill()


def play(master: BuildMaster, builder: str) -> float:
    request = master.force(builder)
    build = master.finished(request, 900)
    if build.result != "SUCCESS":
        raise Wrong(f"a battery ended as {build.result}: {build.steps['battery']['state_string']}")
    step = build.steps["battery"]
    return float(step["complete_at"] - step["started_at"])


def xdist(stage: Stage, seconds: Mapping[str, float]) -> None:
    """As many processes as there are agents, all of one speed: what one machine can do that has the cores."""
    folder = stage.folder / "xdist"
    folder.mkdir()
    (folder / "test_all.py").write_text(XDIST.format(seconds=list(seconds.values())))
    for what, options in (("xdist", ["--dist", "load"]), ("xdist, worksteal", ["--dist", "worksteal"])):
        took = pytest_seconds(folder, ["-n", str(AGENTS), *options])
        stage.add("battery", "seconds for all tests", what, "s", "less", [took])
        stage.add(
            "battery", "time : (all work : all speed)", what, "", "less", [took / (sum(seconds.values()) / AGENTS)]
        )


def pytest_seconds(folder: Path, options: Sequence[str]) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_all.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"pytest ended with {done.returncode}: {done.stdout[-500:]}")
    return time.monotonic() - began
