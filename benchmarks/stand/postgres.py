"""A private PostgreSQL for masters' databases, as a child process, on loopback only.

Debian puts its programs into /usr/lib/postgresql/VERSION/bin; nothing of an installed service is used. PostgreSQL
refuses to run as root: then it runs as the user `postgres`, whom the package makes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from contracts.testing.child import Child
from contracts.testing.rabbitmq.ports import free_ports
from tests.harness.waiting import wait_for

_USER = "postgres"
_PATIENCE = 60.0


class PostgresMissing(Exception):
    """Its programs are not on this machine; the text says what to install."""


class Postgres:
    """Runs from `start` to `stop`; `database(name)` makes one and gives its URL for Buildbot."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = _programs()
        (self._port,) = free_ports(1)
        self._child: Child | None = None

    def start(self) -> None:
        """With the settings that it comes with, so each commit waits for the disk."""
        self._folder.mkdir(parents=True)
        if os.getuid() == 0:
            shutil.chown(self._folder, _USER)
            for parent in self._folder.parents:  # it is to reach its folder
                if parent.stat().st_uid == 0 and parent != Path("/") and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        data = self._folder / "data"
        self._run("initdb", "--pgdata", str(data), "--username", _USER, "--auth", "trust", "--encoding", "UTF8")
        command = [
            *self._prefix, str(self._bin / "postgres"), "-D", str(data), "-p", str(self._port), "-k", str(self._folder),
            "-c", "listen_addresses=127.0.0.1",
        ]  # fmt: skip
        self._child = Child(command, output=self._folder.parent / "postgres.log", folder=self._folder)
        ready = ["pg_isready", "-h", "127.0.0.1", "-p", str(self._port)]
        wait_for(lambda: self._tool(*ready).returncode == 0, _PATIENCE, "PostgreSQL answers")

    def database(self, name: str) -> str:
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", _USER, name)
        return f"postgresql+psycopg2://{_USER}@127.0.0.1:{self._port}/{name}"

    def stop(self) -> None:
        if self._child is not None:
            child, self._child = self._child, None
            child.end(signal.SIGINT)  # a fast shutdown: clients are disconnected

    @property
    def _prefix(self) -> Sequence[str]:
        return () if os.getuid() else ("setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups")

    def _tool(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._prefix, str(self._bin / name), *arguments]
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)

    def _run(self, name: str, *arguments: str) -> None:
        done = self._tool(name, *arguments)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def _programs() -> Path:
    """Raises `PostgresMissing`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    here = shutil.which("initdb")
    if found:
        return found[-1].parent
    if here is None:
        raise PostgresMissing("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    return Path(here).resolve().parent
