"""Buildbot's work without any broker: agents come to the master itself, by AMP over TLS."""

from __future__ import annotations

from pathlib import Path

from tests.harness.waiting import wait_for
from tests.transports.office.conftest import Fleet

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
wait = "while [ ! -e {stop} ]; do sleep 0.1; done"
builder("gtk", c['workers'], steps.ShellCommand(command="{first}; " + wait + "; echo last"))
"""


def config(tmp_path: Path, first: str = "echo first; seq 1 200000") -> str:
    return CONFIG.replace("{stop}", str(tmp_path / "stop")).replace("{first}", first)


def test_a_build_runs_on_who_has_what_it_needs(fleet: Fleet, tmp_path: Path) -> None:
    """Long output comes whole; the agent that lacks gtk is not asked."""
    master = fleet.make_master(config(tmp_path))
    able = fleet.make_agent("able", capabilities=["gtk=3.24"])
    other = fleet.make_agent("other", capabilities=["gtk=2.24"])
    (tmp_path / "stop").touch()
    build = master.finished(master.force("gtk"))
    assert build.result == "SUCCESS", master.log()[-4000:] + able.log()
    text = master.output(build, "shell")
    assert "first\n" in text
    assert text.count("\n") >= 200_000
    assert text.rstrip().endswith("last")
    assert "build" not in [line.split("event=")[-1] for line in other.log().splitlines()]


def test_a_killed_master_finds_its_build_again(fleet: Fleet, tmp_path: Path) -> None:
    """Its post office goes with it: to the agent a broker that lost everything. The command runs once."""
    ran = tmp_path / "ran"
    master = fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    fleet.make_agent("able", capabilities=["gtk=3.24"])
    request = master.force("gtk")
    wait_for(ran.exists, 60, "the command runs")
    master.kill()
    master.start()
    wait_for(lambda: len(master.builds(request)) == 2, 60, lambda: f"the build starts over: {master.log()[-4000:]}")
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS"
    assert ran.read_text() == "once\n"


def test_a_killed_agent_loses_its_build_to_another_at_once(fleet: Fleet, tmp_path: Path) -> None:
    """A closed socket is seen at once; what runs is offered again after the grace."""
    master = fleet.make_master(config(tmp_path))
    first = fleet.make_agent("first", capabilities=["gtk=3.24"])
    request = master.force("gtk")
    master.started(request)
    wait_for(lambda: "event=build " in first.log() or "build" in first.log(), 60, lambda: first.log())
    second = fleet.make_agent("second", capabilities=["gtk=3.24"])
    first.kill_main()
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.log()[-4000:] + second.log()
