"""Where the benchmarks are played: what becomes of processes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measures import failover
from benchmarks.report.figures import Wrong
from benchmarks.stand.peers import end_tree
from benchmarks.stand.processes import tree
from tests.harness.processes import alive
from tests.harness.waiting import wait_for


def test_a_machine_that_is_gone_tells_nobody_that_its_command_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    script = "sleep 600; echo command killed >told"
    with subprocess.Popen(["sh", "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL) as agent:
        wait_for(lambda: len(tree(agent.pid)) == 2, 30, "its command runs", every=0.02)
        processes, kill = tree(agent.pid), os.kill

        def kill_on_a_busy_machine(pid: int, number: int) -> None:
            kill(pid, number)
            time.sleep(0.3)  # whoever can go on does so before the next one is killed

        monkeypatch.setattr(os, "kill", kill_on_a_busy_machine)
        end_tree(agent.pid)
        agent.wait(30)
    assert not told.exists()
    wait_for(lambda: not any(map(alive, processes)), 30, "all are gone")


class SleepingBuild:
    """A peer whose build 7 tells its pid at once, and what becomes of it."""

    def __init__(self) -> None:
        self.master: Any = self
        self.given_up: list[int] = []
        self.ended: list[int] = []

    def force(self, builder: str) -> int:
        return 7

    def builds(self, request: int) -> list[Any]:
        return [type("Build", (), {"steps": {"where": {}}})()]

    def command_pids(self, text: str) -> list[int]:
        with subprocess.Popen(["true"]) as process:
            pass
        return [process.pid] if not self.ended else []

    def finished(self, request: int, timeout: float) -> None:
        self.ended.append(request)

    def give_up(self, request: int) -> None:
        self.given_up.append(request)


@pytest.mark.parametrize("error", [Wrong, AssertionError])
def test_a_round_of_failover_that_fails_leaves_no_build_that_sleeps_on(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(os, "kill", lambda pid, number: None)
    peer: Any = SleepingBuild()
    with failover._running(peer) as (request, _, _):
        assert request == 7
    assert (peer.ended, peer.given_up) == ([7], [])
    peer = SleepingBuild()
    with pytest.raises(error, match="no more"), failover._running(peer):
        raise error("no more")
    assert (peer.ended, peer.given_up) == ([], [7])
