"""Buildbot's own worker and protocol in the same laboratory."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from contracts.testing.child import Child
from tests.faults.laboratory.lab import Lab
from tests.faults.laboratory.processes import MARK
from tests.harness.master import BuildMaster
from tests.harness.waiting import wait_for

_TAC = """
from twisted.application import service
from buildbot_worker.bot import Worker
application = service.Application('buildbot-worker')
Worker('127.0.0.1', {port}, {name!r}, 'pass', {base!r}, 600, umask=None, maxdelay=2).setServiceParent(application)
"""


def config(steps: str) -> str:
    """A master without our plugin, two PB workers and one builder."""
    return (
        "c['protocols'] = {'pb': {'port': f'tcp:{PB_PORT}:interface=127.0.0.1'}}\n"
        "c['workers'] = [worker.Worker('pb1', 'pass'), worker.Worker('pb2', 'pass')]\n"
        f"builder('b', c['workers'], {steps})\n"
    )


class PBWorker:
    """One `buildbot-worker` process."""

    def __init__(self, lab: Lab, name: str, port: int) -> None:
        self.name = name
        self.folder = Path(lab.folder) / f"pb-{name}"
        self.folder.mkdir()
        (self.folder / "buildbot.tac").write_text(_TAC.format(port=port, name=name, base=str(self.folder)))
        self._environment = {**os.environ, MARK: lab.mark, "FAULTS_AGENT": name}
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> PBWorker:
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile="]
        command += ["--no_save", "--python=buildbot.tac"]
        self._child = Child(
            command, output=self.folder / "worker.log", environment=self._environment, folder=self.folder
        )
        return self

    def wait_attached(self, master: BuildMaster) -> None:
        def attached() -> bool:
            workers = master.get("/workers")["workers"]
            return any(worker["name"] == self.name and worker["connected_to"] for worker in workers)

        wait_for(attached, 30, f"{self.name} is attached")

    def end(self, number: int = signal.SIGKILL) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end(number)
