"""The exit status of an agent's process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.operations.exit_status import ExitStatus
from tests.harness.tree import ROOT

BREAKS = """
import sys
from worker_agent.agent.queues import QueueKnowledge
from worker_agent.program.cli import main

async def breaks(self):
    raise RuntimeError("planted")

QueueKnowledge.run = breaks
sys.argv = ["worker-agent", *sys.argv[1:]]
main()
"""


def test_an_agent_that_broke_does_not_say_that_it_left_as_asked(tmp_path: Path) -> None:
    """A part of it failed: the service manager must see a failure, and start it anew (EX_SOFTWARE)."""
    ended = subprocess.run(
        [
            *(sys.executable, "-c", BREAKS, "--amqp-url", "amqp://127.0.0.1:1/"),
            *("--state", str(tmp_path / "state"), "--basedir", str(tmp_path / "builds")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == ExitStatus.SOFTWARE, ended.stdout + ended.stderr
    assert "planted" in ended.stdout + ended.stderr


@pytest.mark.parametrize("file", ["deploy/systemd/worker-agent.service", "deploy/install-worker.sh"])
def test_systemd_starts_no_agent_anew_whose_failure_stays(file: str) -> None:
    """One that broke is started anew; one with a wrong setting or state folder would only fail again."""
    kept_down = re.search(r"^RestartPreventExitStatus=(.*)$", (ROOT / file).read_text(), re.MULTILINE)
    assert kept_down is not None
    assert {int(status) for status in kept_down[1].split()} == {ExitStatus.USAGE, ExitStatus.CANTCREAT}
