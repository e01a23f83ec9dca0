"""Where the benchmarks are played: what becomes of processes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.stand.peers import end_tree
from benchmarks.stand.processes import tree
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
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), 30, "all are gone")
