"""A master's machine that reaches its agents by ssh: Buildbot's work, and what becomes of it when any part ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.testing.child import Child
from tests.harness.environment import program_environment
from tests.harness.ssh import SSHClient
from tests.harness.tree import ROOT
from tests.harness.waiting import wait_for
from tests.transports.ssh.conftest import BRIDGE, SSHFleet
from tests.transports.ssh.test_coming import config


class Reaching:
    """`master-bridge reach`, and what it has started on "machines", which are all this one."""

    def __init__(self, fleet: SSHFleet) -> None:
        self.fleet = fleet
        self.client = SSHClient(fleet.folder / "ssh-of-master", fleet.server)
        fleet.server.authorized.write_text(self.client.public.read_text())
        self.home = fleet.folder / "machine"
        self.home.mkdir()
        settings = self.home / "agent.toml"
        settings.write_text('capability = ["gtk=3.24"]\nlog_level = "debug"\n')
        fleet.server.set_environment(
            WORKER_AGENT_CONFIG=str(settings),
            XDG_STATE_HOME=str(self.home / "state"),
            PATH=f"{Path(sys.executable).parent}:{program_environment()['PATH']}",
            HOME=str(self.home),
        )
        self._child: Child | None = None

    def start(self, *hosts: str, options: tuple[str, ...] = ()) -> None:
        command = [BRIDGE, "reach", *hosts, "--master-dir", str(self.fleet.master_folder), *options]
        self._child = Child(
            command, output=self.fleet.folder / "reach.log", environment=program_environment() | self.client.environment
        )

    def stop(self) -> int:
        assert self._child is not None
        child, self._child = self._child, None
        return child.end(signal.SIGTERM, 30)

    def says(self, text: str, times: int = 1) -> None:
        wait_for(lambda: self.log().count(text) >= times, 60, lambda: f"{text}: {self.log()}")

    def log(self) -> str:
        path = self.fleet.folder / "reach.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def state(self, name: str) -> Path:
        return self.home / "state" / "worker-agent" / name

    def agents_log(self, name: str) -> str:
        path = self.state(name) / "agent.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def agents(self) -> list[psutil.Process]:
        """The agents' main processes."""
        found = []
        for process in psutil.process_iter():
            try:
                words, variables = process.cmdline(), process.environ()
            except psutil.Error:
                continue
            own = variables.get("XDG_STATE_HOME") == str(self.home / "state")
            if own and "attach" not in words and any(word.startswith("stdio:") for word in words):
                found.append(process)
        return found

    def end(self) -> None:
        if self._child is not None:
            self.stop()
        for process in self.agents():
            process.send_signal(signal.SIGKILL)


@pytest.fixture
def reaching(fleet: SSHFleet) -> Iterator[Reaching]:
    made = Reaching(fleet)
    yield made
    made.end()


def _enroll(reaching: Reaching, *names: str) -> None:
    for name in names:
        made = reaching.fleet.bridge("enroll", name, "--reached")
        assert made.returncode == 0, made.stderr
        assert f"master-bridge reach {name}" in made.stdout


def test_builds_run_on_all_machines_that_are_reached(reaching: Reaching, tmp_path: Path) -> None:
    """SIGTERM ends it with all its connections; the agents stay, and are found again."""
    fleet = reaching.fleet
    master = fleet.make_master(config(tmp_path))
    _enroll(reaching, "builder7", "builder8")
    reaching.start("builder7", "builder8")
    requests = []
    for _ in range(2):  # one after the other, or Buildbot makes one build of them
        requests.append(master.force("gtk"))
        master.started(requests[-1], timeout=60)
    (tmp_path / "stop").touch()
    builds = [master.finished(request) for request in requests]
    assert [build.result for build in builds] == ["SUCCESS"] * 2, master.log()[-4000:] + reaching.log()
    assert all(master.output(build, "shell").count("\n") >= 200_000 for build in builds)
    assert fleet.listening() == {master.www_port}
    pids = {process.pid for process in reaching.agents()}
    assert len(pids) == 2
    assert reaching.stop() == 0
    assert not reaching.client.processes()
    reaching.start("builder7", "builder8")
    assert master.finished(master.force("gtk")).result == "SUCCESS"
    assert {process.pid for process in reaching.agents()} == pids


@pytest.mark.long
def test_a_killed_ssh_and_a_killed_reach_lose_nothing(reaching: Reaching, tmp_path: Path) -> None:
    """The command runs once, and no build is started over."""
    ran = tmp_path / "ran"
    master = reaching.fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    _enroll(reaching, "builder7")
    reaching.start("builder7")
    request = master.force("gtk")
    wait_for(ran.exists, 60, reaching.log)
    for process in reaching.client.processes():
        os.kill(process.pid, signal.SIGKILL)
    reaching.says("attached to the agent", 2)
    assert reaching.fleet.server.cut()
    reaching.says("attached to the agent", 3)
    reaching.stop()
    reaching.start("builder7")
    reaching.says("attached to the agent", 4)
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.log()[-4000:] + reaching.agents_log("builder7")
    assert len(master.builds(request)) == 1
    assert ran.read_text() == "once\n"


@pytest.mark.long
def test_a_killed_master_finds_its_build_again(reaching: Reaching, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    master = reaching.fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    _enroll(reaching, "builder7")
    reaching.start("builder7")
    request = master.force("gtk")
    wait_for(ran.exists, 60, reaching.log)
    master.kill()
    reaching.says("no master that listens for its agents itself runs there")
    master.start()
    wait_for(lambda: len(master.builds(request)) == 2, 60, lambda: f"the build starts over: {master.log()[-4000:]}")
    (tmp_path / "stop").touch()
    assert master.finished(request).result == "SUCCESS"
    assert ran.read_text() == "once\n"


@pytest.mark.long
def test_a_killed_agent_is_started_again_and_takes_up_what_runs(reaching: Reaching, tmp_path: Path) -> None:
    """Its keeper has gone on; the state folder is the same."""
    ran = tmp_path / "ran"
    master = reaching.fleet.make_master(config(tmp_path, f"echo once >>{ran}"))
    _enroll(reaching, "builder7")
    reaching.start("builder7")
    request = master.force("gtk")
    wait_for(ran.exists, 60, reaching.log)
    (agent,) = reaching.agents()
    agent.send_signal(signal.SIGKILL)
    reaching.says("attached to the agent", 2)
    (tmp_path / "stop").touch()
    build = master.finished(request)
    assert build.result == "SUCCESS", master.log()[-4000:] + reaching.agents_log("builder7")
    assert ran.read_text() == "once\n"


@pytest.mark.long
def test_who_has_no_account_is_not_brought_and_who_is_revoked_is_cut_off(reaching: Reaching, tmp_path: Path) -> None:
    master = reaching.fleet.make_master(config(tmp_path))
    reaching.start("builder7")
    reaching.says("master-bridge enroll builder7 --reached")
    assert not reaching.agents()
    _enroll(reaching, "builder7")
    reaching.says("attached to the agent")
    wait_for(lambda: "link_up" in reaching.agents_log("builder7"), 60, reaching.log)
    reaching.fleet.bridge("revoke", "builder7")
    reaching.says("the connection ended")
    reaching.says("master-bridge enroll builder7 --reached", 2)
    assert "its account was removed or changed" in master.log()


@pytest.mark.long
def test_a_machine_that_cannot_be_reached_says_why(reaching: Reaching, tmp_path: Path) -> None:
    """And the others are reached meanwhile."""
    fleet = reaching.fleet
    fleet.make_master(config(tmp_path))
    _enroll(reaching, "builder7", "builder8")
    fleet.server.authorized.write_text("")
    reaching.start("builder7", "builder8")
    reaching.says("builder7: it takes no key of this user")
    fleet.server.authorized.write_text(reaching.client.public.read_text())
    fleet.server.set_environment(PATH="/usr/bin:/bin", HOME=str(reaching.home))
    fleet.server.stop()
    fleet.server.start()
    reaching.says("builder8: worker-agent is not installed there; --install does that")
    fleet.server.stop()
    fleet.server.new_host_key()
    fleet.server.start()
    reaching.says("builder7: its host key is not the one that this machine knows")


@pytest.mark.long
def test_an_agent_that_cannot_start_says_why(reaching: Reaching, tmp_path: Path) -> None:
    reaching.fleet.make_master(config(tmp_path))
    (reaching.home / "agent.toml").write_text("slots = 0\n")
    _enroll(reaching, "builder7")
    reaching.start("builder7")
    reaching.says("slots in")


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "10.0.0.4", "a@-x", ""])
def test_what_is_no_host_is_refused(fleet: SSHFleet, host: str) -> None:
    fleet.master_folder.mkdir()
    ran = fleet.bridge("reach", "--", host)
    assert ran.returncode == 2


@pytest.mark.long
def test_the_agent_is_installed_from_wheels_over_ssh(reaching: Reaching, tmp_path: Path) -> None:
    """Nothing but Python and ssh's server is on the machine, and no index is asked."""
    master = reaching.fleet.make_master(config(tmp_path))
    wheels = tmp_path / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", f"{ROOT}[worker]", "-w", str(wheels)],
        check=True, capture_output=True,
    )  # fmt: skip
    reaching.fleet.server.set_environment(
        WORKER_AGENT_CONFIG=str(reaching.home / "agent.toml"), HOME=str(reaching.home),
        XDG_STATE_HOME=str(reaching.home / "state"), PATH="/usr/local/bin:/usr/bin:/bin",
    )  # fmt: skip
    reaching.fleet.server.stop()
    reaching.fleet.server.start()
    _enroll(reaching, "builder7")
    (tmp_path / "stop").touch()
    reaching.start("builder7", options=("--install", str(wheels)))
    wait_for(lambda: "builder7: attached" in reaching.log(), 180, reaching.log)
    assert master.finished(master.force("gtk")).result == "SUCCESS"
    assert (reaching.home / ".local/share/worker-agent/venv/bin/worker-agent").exists()
