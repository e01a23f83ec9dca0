"""Agents that come to their master by ssh: Buildbot's work, and what becomes of it when any part of the way ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.harness.waiting import wait_for
from tests.transports.ssh.conftest import SSHFleet

CONFIG = """
c['workers'] = worker.amqp_column("gtk", workers=2, requires=["gtk>=3"])
wait = "while [ ! -e {stop} ]; do sleep 0.1; done"
builder("gtk", c['workers'], steps.ShellCommand(command="{first}; " + wait + "; echo last"))
"""


def config(tmp_path: Path, first: str = "echo first; seq 1 200000") -> str:
    return CONFIG.replace("{stop}", str(tmp_path / "stop")).replace("{first}", first)


def test_a_build_runs_and_the_master_opens_no_port(fleet: SSHFleet, tmp_path: Path) -> None:
    """Long output comes whole; the agent that lacks gtk is not asked."""
    master = fleet.make_master(config(tmp_path))
    able = fleet.make_agent("able", capabilities=["gtk=3.24"])
    other = fleet.make_agent("other", capabilities=["gtk=2.24"])
    (tmp_path / "stop").touch()
    build = master.finished(master.force("gtk"))
    assert build.result == "SUCCESS", master.log()[-4000:] + able.log() + fleet.server.log()
    text = master.output(build, "shell")
    assert text.count("\n") >= 200_000
    assert text.rstrip().endswith("last")
    assert "link_up" in other.log()
    assert fleet.listening() == {master.www_port}
    assert (fleet.master_folder / "agents.sock").stat().st_mode & 0o777 == 0o600


def test_a_killed_ssh_in_the_middle_of_a_command_loses_nothing(fleet: SSHFleet, tmp_path: Path) -> None:
    """Twice: the agent's ssh, and the one at the master's side. The command runs once, and no build is started over."""
    ran = tmp_path / "ran"
    master = fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    agent = fleet.make_agent("able", capabilities=["gtk=3.24"])
    request = master.force("gtk")
    wait_for(ran.exists, 60, "the command runs")
    for cut in (_kill_ssh, lambda fleet: fleet.server.cut()):
        ups = agent.log().count("] link_up ")
        cut(fleet)
        wait_for(lambda ups=ups: agent.log().count("] link_up ") > ups, 60, agent.log)
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.log()[-4000:] + agent.log()
    assert len(master.builds(request)) == 1
    assert ran.read_text() == "once\n"


def _kill_ssh(fleet: SSHFleet) -> None:
    processes = fleet.clients["able"].processes()
    assert processes
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


@pytest.mark.long
def test_a_killed_master_finds_its_build_again(fleet: SSHFleet, tmp_path: Path) -> None:
    """Its socket stays behind, and does not keep it from listening."""
    ran = tmp_path / "ran"
    master = fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    agent = fleet.make_agent("able", capabilities=["gtk=3.24"])
    request = master.force("gtk")
    wait_for(ran.exists, 60, "the command runs")
    master.kill()
    wait_for(lambda: "no master that listens for its agents itself runs there" in agent.log(), 60, agent.log)
    master.start()
    wait_for(lambda: len(master.builds(request)) == 2, 60, lambda: f"the build starts over: {master.log()[-4000:]}")
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS"
    assert ran.read_text() == "once\n"


def test_a_killed_agent_loses_its_build_to_another_at_once(fleet: SSHFleet, tmp_path: Path) -> None:
    """Its ssh ends with it."""
    ran = tmp_path / "ran"
    master = fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    first = fleet.make_agent("first", capabilities=["gtk=3.24"])
    request = master.force("gtk")
    wait_for(ran.exists, 60, "the command runs")
    second = fleet.make_agent("second", capabilities=["gtk=3.24"])
    first.kill_main()
    wait_for(lambda: not fleet.clients["first"].processes(), 30, "its ssh has ended")
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.log()[-4000:] + second.log()


@pytest.mark.long
def test_an_sshd_that_was_away_is_found_again(fleet: SSHFleet, tmp_path: Path) -> None:
    """All connections end with it; what runs goes on meanwhile."""
    ran = tmp_path / "ran"
    master = fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    agent = fleet.make_agent("able", capabilities=["gtk=3.24"])
    request = master.force("gtk")
    wait_for(ran.exists, 60, "the command runs")
    fleet.server.stop()
    wait_for(lambda: "broker_unreachable" in agent.log(), 60, agent.log)
    assert "Connection refused" in agent.log()
    fleet.server.start()
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.log()[-4000:] + agent.log()
