"""An agent that runs as one user, with commands that run as another: both are users that every Debian has."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from contracts.digest import command_digest
from contracts.messages import Command
from contracts.testing.child import Child

AGENT, BUILD = "daemon", "nobody"
#: What deploy/systemd/worker-agent.service gives.
RIGHTS = "-all,+setuid,+setgid,+kill"


def _unless_gone(_function: object, _path: str, raised: tuple[type[BaseException], BaseException, object]) -> None:
    if not issubclass(raised[0], FileNotFoundError):
        raise raised[1]


class Installation:
    """Folders of both users, as the installer makes them; below /tmp, since pytest's own folder is closed to others."""

    def __init__(self, url: str) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="two-users-"))
        self.root.chmod(0o755)
        self.state, self.builds = self.root / "state", self.root / "builds"
        self.config, self.url_file = self.root / "etc" / "agent.toml", self.root / "etc" / "url"
        for folder, user, mode in (
            (self.state, AGENT, 0o700),
            (self.builds, BUILD, 0o755),
            (self.config.parent, "root", 0o755),
        ):
            folder.mkdir(mode=mode)
            shutil.chown(folder, user)
        self.url_file.write_text(url + "\n", encoding="utf-8")
        self.config.write_text(
            f'amqp_url_file = "{self.url_file}"\nstate = "{self.state}"\nbasedir = "{self.builds}"\n'
            f'run_as = "{BUILD}"\nname = "two"\nslots = 2\ncapability = ["gtk=3"]\n',
            encoding="utf-8",
        )
        for file in (self.url_file, self.config):
            file.chmod(0o640)
            shutil.chown(file, "root", pwd.getpwnam(AGENT).pw_gid)
        self.output = self.root / "agent.log"
        self._children: list[Child] = []

    def start(self, *flags: str) -> Child:
        """The agent, in the way of the systemd unit."""
        command = [*as_agent(), *program(), "--config", str(self.config), *flags]
        environment = {"PATH": os.environ["PATH"], "WORKER_AGENT_LOG_LEVEL": "debug", "LANG": "C.UTF-8"}
        child = Child(command, output=self.output, environment=environment, folder=Path("/"))
        self._children.append(child)
        return child

    def run_as(self, user: str) -> None:
        """Name another user in the configuration."""
        text = self.config.read_text(encoding="utf-8")
        self.config.write_text(text.replace(f'run_as = "{BUILD}"', f'run_as = "{user}"'), encoding="utf-8")

    @property
    def log(self) -> str:
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    def end(self) -> None:
        for child in self._children:
            child.end(signal.SIGKILL)
        print(self.log)
        # a keeper that ends just now removes its session's files, too
        shutil.rmtree(self.root, onerror=_unless_gone)


def as_agent(rights: str = RIGHTS) -> list[str]:
    """What starts a program as the agent's user, with its capabilities."""
    return [
        "setpriv", f"--reuid={AGENT}", f"--regid={AGENT}", "--init-groups", f"--inh-caps={rights}",
        f"--ambient-caps={rights}", f"--bounding-set={rights}", "--",
    ]  # fmt: skip


def program() -> list[str]:
    """`worker-agent` with a Python that other users can run: a developer's may lie in a home that they cannot enter."""
    own = Path(sys.executable).resolve()
    python = str(own) if all(folder.stat().st_mode & 1 for folder in own.parents) else "/usr/bin/python3"
    path = [place for place in sys.path if (place and "/lib/python" not in place) or "site-packages" in place]
    code = f"import sys; sys.path[:0] = {path!r}; from worker_agent.__main__ import main; main()"
    return [python, "-I", "-c", code]


def command(n: int, name: str, **args: object) -> Command:
    return Command(n=n, name=name, args=args, digest=command_digest(name, args))


def script(n: int, text: str, **args: object) -> Command:
    """A line of shell, in the build's folder."""
    return command(n, "shell", command=text, workdir="build", env={}, want_stdout=1, want_stderr=1, **args)
