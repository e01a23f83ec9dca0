"""A battery's life on real parts: results, losses, stops, restarts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.buildbot.battery.runner import end_agent
from tests.harness.agents import PROGRAM, Agent
from tests.harness.master import Build, BuildMaster
from tests.harness.waiting import wait_for

RUNNER = Path(__file__).with_name("runner.py")


def config(folder: Path, units: object, more: str = "", command: str = "") -> str:
    """A build on a worker of the master's own, with one battery of the runner above."""
    argv = command or f"[{sys.executable!r}, {str(RUNNER)!r}, 'junit.xml', {str(folder)!r}, util.Units()]"
    return f"""
c['workers'] = [worker.LocalWorker("local")]
builder("b", c['workers'],
    steps.Battery(units={units!r}, command={argv}, requires=["gtk"], report="junit.xml", {more}))
"""


def ran(folder: Path) -> Counter[str]:
    path = folder / "ran"
    return Counter(path.read_text().split()) if path.exists() else Counter()


class Fleet:
    """Agents that are started again when they die, as systemd does it.

    They are started, not forked: `end_agent` finds them by the environment with which their programs began.
    """

    def __init__(self, make_agent: Callable[..., Agent], folder: Path, names: Sequence[str], **settings: Any) -> None:
        self.agents = [
            make_agent(
                name,
                capabilities=["gtk"],
                environment={"AGENT_FOLDER": str(folder / f"agent-{name}"), "AGENT_NAME": name},
                program=PROGRAM,
                **settings,
            )
            for name in names
        ]
        self.restarts = 0

    def keep_running(self) -> None:
        for agent in self.agents:
            if not agent.running:
                agent.kill_main()
                agent.start()
                self.restarts += 1

    def finished(self, master: BuildMaster, request: int, timeout: float) -> Build:
        def over() -> bool:
            self.keep_running()
            return bool(master.get(f"/buildrequests/{request}")["buildrequests"][0]["complete"])

        wait_for(over, timeout, lambda: master.describe(request))
        return master.builds(request)[-1]


def text_of(master: BuildMaster, request: int) -> str:
    """What the step says while it runs; empty: it does not yet."""
    builds = master.builds(request)
    return step(builds[-1]) if builds and "battery" in builds[-1].steps else ""


def step(build: Build) -> str:
    return str(build.steps["battery"]["state_string"])


def test_a_battery_over_three_agents(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Each unit ran once, a flaky one twice; failures have logs; report, picture and test results are there."""
    units = [*(f"t{number}" for number in range(30)), "a-fail", "b-flaky", "c-fail"]
    master = make_master(config(tmp_path, units, "retries=1"))
    request = master.force("b")
    waits = "0 of 33 units, waits for an agent with gtk since"
    wait_for(lambda: text_of(master, request).startswith(waits), 60, lambda: master.describe(request))
    for name in ("a1", "a2", "a3"):
        make_agent(name, capabilities=["gtk"])
    build = master.finished(request, 90)
    assert build.step_result("battery") == "FAILURE", master.describe(request)
    assert step(build) == "33 units, 2 failed, 1 flaky (a-fail, c-fail)"
    assert ran(tmp_path) == Counter(units) + Counter(["a-fail", "b-flaky", "c-fail"])
    assert "a-fail went wrong in run 2" in master.step_log(build, "battery", "failed: a-fail")
    assert "FLAKY    b-flaky" in master.step_log(build, "battery", "summary")
    assert "<svg" in master.step_log(build, "battery", "picture")
    merged = next((master.folder / "batteries").glob("*/junit.xml")).read_text()
    assert merged.count("<testcase") == 33
    assert merged.count("<failure") == 2
    found = master.get(f"/steps/{build.steps['battery']['stepid']}/test_result_sets")["test_result_sets"][0]
    assert (found["tests_passed"], found["tests_failed"]) == (31, 2)


@pytest.mark.long
def test_a_unit_that_ends_its_machines_is_found_and_named(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """All others have results."""
    units = [*(f"t{number}" for number in range(12)), "m-kill"]
    master = make_master(config(tmp_path, units), broker="grace=1.0")
    fleet = Fleet(make_agent, tmp_path, ["a1", "a2"])
    request = master.force("b")
    build = fleet.finished(master, request, 240)
    assert build.step_result("battery") == "FAILURE", master.describe(request)
    assert step(build) == "13 units, 1 failed, 1 of them ended their machines (m-kill)"
    assert "each machine that ran it was lost" in master.step_log(build, "battery", "killer: m-kill")
    assert ran(tmp_path).keys() == set(units)
    assert 2 <= fleet.restarts <= 7


@pytest.mark.long
def test_a_killed_agent_costs_its_shard(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """It runs elsewhere; units of other shards run once."""
    units = [f"sleep0.3-{number}" for number in range(24)]
    master = make_master(config(tmp_path, units), broker="grace=1.0")
    fleet = Fleet(make_agent, tmp_path, ["a1", "a2"])
    request = master.force("b")
    wait_for(lambda: sum(ran(tmp_path).values()) > 4, 60, lambda: master.describe(request))
    end_agent(str(tmp_path / "agent-a1"))
    build = master.finished(request, 90)
    assert build.step_result("battery") == "SUCCESS", master.describe(request)
    assert step(build) == "24 units"
    again = [unit for unit, times in ran(tmp_path).items() if times > 1]
    assert set(ran(tmp_path)) == set(units)
    assert len(again) <= 4
    assert "shards on 2 agents, 1 lost" in master.step_log(build, "battery", "summary")
    assert fleet.restarts == 0


def test_stop_ends_all_shards(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    """Those that run and those that wait; agents take other work afterwards."""
    master = make_master(config(tmp_path, [f"sleep60-{number}" for number in range(9)]))
    Fleet(make_agent, tmp_path, ["a1", "a2"])
    request = master.force("b")
    wait_for(lambda: len(ran(tmp_path)) == 2, 60, lambda: master.describe(request))
    master.call(f"/builds/{master.builds(request)[-1].id}", "stop", reason="enough")
    build = master.finished(request, 30)
    assert build.result == "CANCELLED", master.describe(request)
    assert "9 not run" in step(build)
    wait_for(lambda: not processes_of(tmp_path), 20, "no unit runs any more")


def processes_of(folder: Path) -> list[str]:
    """Runners of this test's that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(RUNNER) in command and str(folder) in command:
                found.append(command)
    return found


@pytest.mark.parametrize("how", ["kill", pytest.param("stop", marks=pytest.mark.long)])
def test_a_master_that_died_runs_no_finished_shard_again(
    make_master: Callable[..., BuildMaster], make_agent: Callable[..., Agent], tmp_path: Path, how: str
) -> None:
    """Those that ran go on; the step ends with all results, each unit ran once."""
    units = [f"sleep0.4-{number}" for number in range(30)]
    master = make_master(config(tmp_path, units))
    Fleet(make_agent, tmp_path, ["a1", "a2"])
    request = master.force("b")
    wait_for(lambda: sum(ran(tmp_path).values()) > 8, 60, lambda: master.describe(request))
    getattr(master, how)()
    master.start()
    build = master.finished(request, 120)
    assert build.step_result("battery") == "SUCCESS", master.describe(request)
    assert step(build) == "30 units"
    assert len(master.builds(request)) == 2
    assert ran(tmp_path) == Counter(units)
