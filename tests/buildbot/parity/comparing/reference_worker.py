"""Buildbot's own worker as a child process, over PB or msgpack."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.testing.child import Child
from tests.harness.environment import program_environment

#: As `--protocol` of buildbot-worker names them.
PB, MSGPACK = "pb", "msgpack_experimental_v7"
_RUN = "from buildbot_worker.scripts.runner import run; run()"
_TWISTD = "from twisted.scripts.twistd import run; run()"


class ReferenceWorker:
    """`start`, `stop`. Its environment is an agent's, with the variables of `environment`."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        protocol: str,
        port: int,
        numcpus: int = 3,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] = {},
    ) -> None:
        self.folder = folder
        self._prefix = prefix
        self._environment = {**program_environment(), **environment}
        made = subprocess.run(
            [sys.executable, "-c", _RUN, "create-worker", "--quiet", f"--numcpus={numcpus}", "--maxdelay=1",
             "--delete-leftover-dirs", f"--protocol={protocol}", str(folder), f"127.0.0.1:{port}", name, "password"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        (folder / "info" / "admin").write_text("Ada <ada@example.org>")
        (folder / "info" / "host").write_text("a test machine")
        (folder / "info" / "access_uri").write_text("ssh://test.example.org")
        self._child: Child | None = None

    def start(self) -> ReferenceWorker:
        command = [
            *self._prefix,
            sys.executable,
            "-c",
            _TWISTD,
            "--nodaemon",
            "--no_save",
            "--pidfile=",
            "--logfile=twistd.log",
        ]
        self._child = Child(
            [*command, "--python=buildbot.tac"],
            output=self.folder / "stdout.log",
            environment=self._environment,
            folder=self.folder,
        )
        return self

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def stop(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGTERM, 10)

    def log(self) -> str:
        path = self.folder / "twistd.log"
        return path.read_text(errors="replace") if path.exists() else ""
