"""The machines that docs/how-to/secure-fleet.md names, as folders: `ssh` and `scp` lead there, programs are real ones.

What the page's shell asks of a machine that a test cannot give (a service manager, an installer) becomes a request to
the test, which starts a real broker or agent; the shell waits until it has.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from contracts.testing.child import Child
from contracts.testing.rabbitmq.node import RabbitMQNode
from contracts.testing.rabbitmq.program import server_command
from tests.harness.environment import program_environment

#: Folders of a machine that the page names.
_PATHS = r"(?<![\w/.-])/(etc/rabbitmq)\b"
_SSH = """#!/bin/sh
# as ssh: one line, for a shell on the other side
host=${1#root@}; shift
mkdir -p "$MACHINES/$host"
PATH="$MACHINES/bin/there:$PATH" HOST="$host" exec "$PYTHON" "$MACHINES/bin/there.py" "$host" "$*"
"""
_SCP = """#!/bin/sh
for last; do :; done
host=${last%%:*}; host=${host#root@}; to="$MACHINES/$host${last#*:}"
[ "$1" != -r ] || exit 0  # the checkout: it is here
case "$to" in */) mkdir -p "$to" ;; *) mkdir -p "${to%/*}" ;; esac
while [ $# -gt 1 ]; do cp "$1" "$to"; shift; done
"""
_REQUEST = """#!/bin/sh
printf '%s\\n' "$*" >"$MACHINES/request.new"
mv "$MACHINES/request.new" "$MACHINES/request"
while [ -e "$MACHINES/request" ]; do sleep 0.05; done
"""


class Machines:
    """`run` goes through a page's shell blocks; `handle` is called with each request: "block 3", "reload builder1"."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder / "machines"
        self.desk = folder / "desk"
        self.port = port
        self.node = RabbitMQNode(folder / "node")
        self.agents: dict[str, Child] = {}
        self.output = folder / "output"
        for made in (self.desk, self.folder / "bin" / "there"):
            made.mkdir(parents=True)
        self._program("ssh", _SSH)
        self._program("scp", _SCP)
        self._program("request", _REQUEST)
        self._program("there/systemctl", '#!/bin/sh\nexec request "$1" "$HOST"\n')
        self._program("there/chown", "#!/bin/sh\n")
        self._program("there/rabbitmqctl", self._rabbitmqctl())
        (self.folder / "bin" / "there.py").write_text(_THERE)

    def _program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def _rabbitmqctl(self) -> str:
        *prefix, server = server_command()
        ctl = shlex.join([*prefix, str(Path(server).with_name("rabbitmqctl"))])
        variables = {k: v for k, v in self.node._environment().items() if os.environ.get(k) != v}
        exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
        return f'#!/bin/sh\n{exports}exec {ctl} "$@"\n'

    def path(self, host: str, path: str) -> Path:
        return self.folder / host / path.lstrip("/")

    def run(self, script: str, handle: Callable[[str], None], timeout: float = 1000.0) -> None:
        """Raises `AssertionError` with the output when a command fails."""
        environment = program_environment() | {
            "PATH": os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "MACHINES": str(self.folder), "PYTHON": sys.executable, "HOME": str(self.desk),
        }  # fmt: skip
        request = self.folder / "request"
        with self.output.open("wb") as sink:
            shell = subprocess.Popen(
                ["sh", "-euxc", f"umask 077\n{script}"], cwd=self.desk, env=environment, stdin=subprocess.DEVNULL,
                stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + timeout
        try:
            while shell.poll() is None:
                assert time.monotonic() < deadline, f"not done within {timeout:g} s:\n{self.said()}"
                if request.exists():
                    handle(request.read_text().strip())
                    request.unlink()
                time.sleep(0.05)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
                shell.wait()
        assert shell.returncode == 0, self.said()

    def said(self) -> str:
        return self.output.read_text(errors="replace")[-8000:]

    def start_broker(self) -> None:
        """With the settings that lie in /etc/rabbitmq, on the test's port and beside a plain listener of the test's."""
        text = re.sub(
            _PATHS, rf"{self.folder}/localhost/\1", self.path("localhost", "etc/rabbitmq/rabbitmq.conf").read_text()
        )
        settings = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line and line[0] != "#")
        assert settings.pop("listeners.tcp") == "none"
        assert settings.pop("listeners.ssl.default") == "5671"
        self.node._config = settings | {"listeners.ssl.1": f"127.0.0.1:{self.port}"}
        self.node.start()

    def install(self, host: str) -> None:
        """As install-worker.sh does with `--config -`, whose input lies on the machine."""
        text = self.path(host, "input").read_text()
        config = self.path(host, "etc/worker-agent.toml")
        config.write_text(f'state = "{self.path(host, "state")}"\n{text}')
        if host in self.agents:
            return  # the caller restarts it
        self.agents[host] = Child(
            [sys.executable, "-m", "worker_agent", "--config", str(config)],
            output=self.path(host, "agent.log"), environment=program_environment(), folder=self.folder / host,
        )  # fmt: skip

    def agent_log(self, host: str) -> str:
        return self.path(host, "agent.log").read_text(errors="replace")

    def end(self) -> None:
        for child in self.agents.values():
            child.end(signal.SIGTERM, 30)
        self.node.stop()


#: A line of shell on a machine: its folders for those in `/`, requests for what only a real machine has.
_THERE = f"""
import os, re, subprocess, sys
host, line = sys.argv[1:]
here = os.path.join(os.environ["MACHINES"], host)
os.makedirs(os.path.join(here, "etc/rabbitmq"), exist_ok=True)
if "install-worker.sh" in line:
    with open(os.path.join(here, "input"), "w") as file:
        file.write(sys.stdin.read())
    sys.exit(subprocess.call(["request", "install", host]))
if "/opt/worker-agent/current/bin/worker-agent" in line:
    arguments = line.split()[1:]
    arguments = [here + each if each.startswith("/etc/") else each for each in arguments]
    sys.exit(subprocess.call([sys.executable, "-m", "worker_agent", *arguments]))
bare = re.sub({_PATHS!r}, here + r"/\\1", line)
sys.exit(subprocess.call(["sh", "-c", bare]))
"""
