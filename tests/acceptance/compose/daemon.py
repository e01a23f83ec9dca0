"""A Docker daemon of its own: nothing of it is seen by, or left on, the machine's own Docker and its firewall."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.testing.child import Child
from tests.harness.waiting import wait_for

#: Addresses of the containers' networks; the daemon's default pool often is the machine's own network.
_ADDRESSES = "base=10.213.0.0/16,size=24"


class DockerDaemon:
    """`start`, `docker(…)`, `stop`. Needs root. Containers reach each other and loopback's published ports, no more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket = folder / "docker.sock"
        self._child: Child | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """For programs that shall talk to this daemon. BuildKit needs a plug-in that not every machine has."""
        return {"DOCKER_HOST": f"unix://{self._socket}", "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    def start(self) -> None:
        if os.geteuid() != 0:
            raise RuntimeError("a Docker daemon needs root")
        for program in ("dockerd", "docker"):
            if shutil.which(program) is None:
                raise RuntimeError(f"{program} is missing: apt-get install --no-install-recommends docker.io")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._child = Child(
            [
                "dockerd", f"--host=unix://{self._socket}", f"--data-root={self.folder / 'data'}",
                f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}",
                f"--default-address-pool={_ADDRESSES}", "--bridge=none",
                "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false",
            ],
            output=self.folder / "dockerd.log",
        )  # fmt: skip
        wait_for(self._answers, 60.0, lambda: f"dockerd answers:\n{self.log()}")

    def stop(self) -> None:
        """End the daemon with its containers, and remove its folder."""
        if self._child is not None:
            left = self.docker("container", "ls", "--quiet").split()
            if left:
                self.docker("container", "kill", *left)
            child, self._child = self._child, None
            child.end(signal.SIGTERM, 60.0)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.folder)], check=False)

    def docker(self, *arguments: str, timeout: float = 900.0) -> str:
        """What `docker ARGUMENTS` printed; its errors are in the AssertionError where it failed."""
        ran = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"docker {' '.join(arguments)}:\n{ran.stdout[-4000:]}{ran.stderr[-4000:]}"
        return ran.stdout

    def inspect(self, name: str) -> dict[str, Any]:
        """A container or an image, as `docker inspect` has it."""
        found: dict[str, Any] = json.loads(self.docker("inspect", name))[0]
        return found

    def log(self) -> str:
        return (self.folder / "dockerd.log").read_text(errors="replace")[-6000:]

    def _answers(self) -> bool:
        if self._child is None or not self._child.running:
            raise AssertionError(f"dockerd ended at its start:\n{self.log()}")
        ran = subprocess.run(
            ["docker", "version"], env={**os.environ, **self.environment}, capture_output=True, check=False
        )
        return ran.returncode == 0
