"""A battery of tests beside static splitting and pytest-xdist: tests that sleep, on agents of which two are slow.

Sleeping tests need no processor, so that eight agents are eight machines here, too. Static splitting is played on the
same agents: each of its parts is one unit, of which each agent takes one. What is said of a time is how many times the
least it is that is possible on those machines (`least`).
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report.battery import LOSSES, SECONDS, TIMES
from benchmarks.report.figures import Wrong
from benchmarks.stand.stage import Stage
from tests.harness.agents import Agent
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for
from tests.unit.battery.fleet import Machine, Simulation, World
from tests.unit.battery.makespan import AGENTS, COUNTS, SLOW, SLOWER, SPREADS, batteries, two_runs

#: Seconds of all tests, and how many they are: at least 60 s on these agents. A session's own cost, and a master that
#: is slow because the machine does other things, are tenths of a second a shard.
WORK, TESTS = 390.0, 480
#: Static splitting has next to no cost of its own: a part of the tests shows its ratio as well.
STATIC_PART, QUICK_PART = 0.2, 0.1
#: Batteries of each kind in the computed table.
COMPUTED = 10
SPEED = AGENTS - SLOW + SLOW / SLOWER
#: What an agent runs: sleeps for the seconds that stand in a unit's name.
RUNNER = """
import os, sys, time
slower = float(os.environ["SLOWER"])
cases = []
for unit in sys.argv[1:]:
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
    computed(stage)
    losses(stage)
    seconds = durations(QUICK_PART if stage.quick else 1.0)
    real(stage, seconds, durations(QUICK_PART if stage.quick else STATIC_PART))
    xdist(stage, seconds)


def durations(part: float) -> dict[str, float]:
    """By unit, whose name says it: "t7_0.812"."""
    dice = random.Random(1)
    drawn = [dice.lognormvariate(0, 0.6) for _ in range(round(TESTS * part))]
    scale = WORK * part / sum(drawn)
    return {f"t{n}_{value * scale:.3f}": round(value * scale, 3) for n, value in enumerate(drawn)}


def least(seconds: Mapping[str, float], speed: float) -> float:
    """All work at all speed, or the longest test on a fast agent."""
    return max(sum(seconds.values()) / speed, max(seconds.values()))


def computed(stage: Stage) -> None:
    """What dividing costs alone: the real core in virtual time, a session costs 0.3 s."""
    for count in (60,) if stage.quick else COUNTS:
        for spread in SPREADS:
            drawn = list(batteries(count, spread, 2 if stage.quick else COMPUTED))
            rows: dict[str, list[float]] = {}
            for dice, seconds in drawn:
                for timed, name in ((False, "static"), (True, "static, timed")):
                    groups = divided(list(seconds.values()), timed=timed)
                    rows.setdefault(name, []).append(static_seconds(groups, dice) / least(seconds, SPEED))
                first, learned = two_runs(seconds, dice)
                rows.setdefault("battery, first run", []).append(first)
                rows.setdefault("battery, learned", []).append(learned)
            for name, ratios in rows.items():
                stage.add("battery", f"{TIMES}, computed: {count} tests, spread {spread}", name, "", "less", ratios)


def losses(stage: Stage) -> None:
    """Of 8 equal agents some die for good at half time; then one test that ends its machine, which comes back."""
    number = 2 if stage.quick else COMPUTED
    for killed in (1, 2, 4):
        times, again = [], []
        for _, seconds in batteries(980, 0.5, number):
            half = sum(seconds.values()) / AGENTS / 2
            fleet = tuple(Machine(name=f"a{n}", dies=(half,) if n < killed else (), back=None) for n in range(AGENTS))
            simulation = Simulation(World(machines=fleet, seconds=seconds, timings=seconds))
            times.append(simulation.run() / (half + half * AGENTS / (AGENTS - killed)))
            again.append(float(sum(simulation.lost_on.values())))
        stage.add("battery", f"{LOSSES}, {killed} agents killed: {TIMES}", "battery", "", "less", times)
        stage.add("battery", f"{LOSSES}, {killed} agents killed: units again", "battery", "", "less", again)
    for count in (100, 980, 3000):
        lost = []
        for dice, seconds in batteries(count, 0.5, number):
            killer = dice.choice(list(seconds))
            fleet = tuple(Machine(name=f"a{n}", back=30.0) for n in range(AGENTS))
            world = World(machines=fleet, seconds=seconds, timings=seconds, killers=frozenset({killer}))
            simulation = Simulation(world)
            simulation.run()
            lost.append(float(simulation.lost_on[killer]))
        stage.add("battery", f"{LOSSES}, {count} tests, one ends machines: machines lost", "battery", "", "less", lost)


def divided(values: Sequence[float], *, timed: bool) -> list[list[float]]:
    """Static splitting into as many parts as there are agents: equal numbers, or equal times (the longest first)."""
    groups: list[list[float]] = [[] for _ in range(AGENTS)]
    for place, value in enumerate(sorted(values, reverse=True) if timed else values):
        (min(groups, key=sum) if timed else groups[place % AGENTS]).append(value)
    return groups


def static_seconds(groups: Sequence[Sequence[float]], dice: random.Random) -> float:
    """Whoever comes takes a part."""
    slowness = dice.sample([SLOWER if n < SLOW else 1.0 for n in range(AGENTS)], AGENTS)
    return 0.3 + max(sum(group) * slower for group, slower in zip(groups, slowness, strict=True))


def parts(seconds: Mapping[str, float], *, timed: bool) -> list[str]:
    """One unit a part."""
    groups = divided(list(seconds.values()), timed=timed)
    return ["_".join([f"part{n}", *(f"{value:.3f}" for value in group)]) for n, group in enumerate(groups)]


def real(stage: Stage, seconds: Mapping[str, float], few: Mapping[str, float]) -> None:
    """Static splitting and batteries on agents of one master."""
    runner = stage.folder / "runner.py"
    runner.write_text(RUNNER)
    fresh = [f"battery-{number}" for number in range(stage.rounds)]
    units = {
        "static": parts(few, timed=False),
        "static-timed": parts(few, timed=True),
        **{name: list(seconds) for name in fresh},
    }
    command = f"[{sys.executable!r}, {str(runner)!r}, util.Units()]"
    config = "c['workers'] = [worker.LocalWorker('here')]\n" + "".join(
        f"builder({name!r}, c['workers'], steps.Battery(units={listed!r}, command={command}, requires=['python'], "
        "report='junit.xml', target_seconds=600))\n"
        for name, listed in units.items()
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
        for name, what in (("static", "static"), ("static-timed", "static, timed")):
            told(stage, what, [play(master, name)], least(few, SPEED))
        for what in ("battery, first run", "battery, learned"):
            told(stage, what, [play(master, name) for name in fresh], least(seconds, SPEED))
    finally:
        for agent in agents:
            agent.stop(timeout=5)
        master.kill()


def told(stage: Stage, what: str, took: Sequence[float], possible: float) -> None:
    stage.add("battery", SECONDS, what, "s", "less", took)
    stage.add("battery", TIMES, what, "", "less", [value / possible for value in took])


def play(master: BuildMaster, builder: str) -> float:
    """Seconds of the step; Buildbot keeps whole ones."""
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
        told(stage, what, [pytest_seconds(folder, ["-n", str(AGENTS), *options])], least(seconds, AGENTS))


def pytest_seconds(folder: Path, options: Sequence[str]) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_all.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"pytest ended with {done.returncode}: {done.stdout[-500:]}")
    return time.monotonic() - began
