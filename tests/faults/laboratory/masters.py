"""What ends a master and starts it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for


def killed(master: BuildMaster) -> None:
    master.kill()
    master.start()


def stopped(master: BuildMaster) -> None:
    master.stop()
    master.start()


def restarted(master: BuildMaster) -> None:
    """`buildbot restart` is a stop and a start of the same folder; SIGTERM is how `buildbot stop` does it."""
    os.kill(master.pid, signal.SIGTERM)
    wait_for(lambda: not master.running, 40, "the master stopped")
    master.stop()
    master.start()


def upgraded(master: BuildMaster) -> None:
    """The plugin is another version after the restart: its modules are compiled anew, its incarnation is new."""
    master.stop()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    made = subprocess.run(
        [sys.executable, "-c", "from buildbot.scripts.runner import run; run()", "upgrade-master", str(master.folder)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    master.start()
