"""A private RabbitMQ node as a child process: own folder, own ports, loopback only, any user, no systemd.

Used by the tests, the benchmarks and `make demo`. Needs the server's files (Debian: rabbitmq-server) and the standard
library. It ends with the process that started it, however that ends. `python -m contracts.testing.rabbitmq.node` runs
one in the foreground and prints its URL.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from contracts.testing.child import Child
from contracts.testing.rabbitmq.home import slim_home
from contracts.testing.rabbitmq.ports import answers_amqp, free_ports
from contracts.testing.rabbitmq.program import BrokerMissing, NodeError, server_command

#: A node is ready in 5 s on an idle machine (3.10.8, 2 cores); tests share the machine with others.
START_TIMEOUT = 120.0
#: An orderly stop takes 2 s; after this the node is killed.
STOP_TIMEOUT = 30.0
USER = "guest"
#: Enough for the reason of a failed start, which Erlang puts above 50 lines of its own.
_LOG_TAIL = 80


class RabbitMQNode:
    """One node. Data, logs and secrets are kept in `folder`; a later node of that name and folder goes on with them.

    `config` is written as rabbitmq.conf (`{"heartbeat": "5"}`), `advanced` as advanced.config (Erlang terms).
    `plugins` are none by default, and others cannot be enabled later (`home.py`); with `rabbitmq_management` there is a
    `management_url`. A node of a cluster is given the `epmd_port` and `cookie` of the first one, which owns the epmd
    process (see `rabbitmq_cluster`).
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str | None = None,
        config: Mapping[str, str] = {},
        advanced: str | None = None,
        plugins: Sequence[str] = (),
        environment: Mapping[str, str] = {},
        epmd_port: int | None = None,
        cookie: str | None = None,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.name = f"{name or 'node'}@localhost"
        self.plugins = tuple(plugins)
        self._config = dict(config)
        self._advanced = advanced
        self._more_environment = dict(environment)
        self._owns_epmd = epmd_port is None
        self._epmd_of_another = epmd_port
        self._given_cookie = cookie
        self._choose_ports()
        self._beam: Child | None = None
        self._epmd: Child | None = None

    def _choose_ports(self) -> None:
        self.port, self._dist_port, self.management_port, epmd = free_ports(4)
        self.epmd_port = self._epmd_of_another or epmd

    # What a client needs

    @property
    def url(self) -> str:
        """AMQP URL of the vhost `/`, with user and password."""
        return self.vhost_url("/")

    def vhost_url(self, vhost: str) -> str:
        """The AMQP URL of this vhost, with the password."""
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{vhost.replace('/', '%2F')}"

    @property
    def management_url(self) -> str:
        """Base URL of the management API, with user and password."""
        if "rabbitmq_management" not in self.plugins:
            raise NodeError(f'{self.name} has no management API: start it with plugins=("rabbitmq_management",)')
        return f"http://{USER}:{self.password}@127.0.0.1:{self.management_port}"

    @property
    def cookie(self) -> str:
        """Erlang's cookie, made once and kept in the folder: who has it may run anything on the node."""
        file = self.folder / ".erlang.cookie"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(self._given_cookie or secrets.token_hex(16))
            file.chmod(0o400)
        return file.read_text()

    @property
    def password(self) -> str:
        """Of the node's only user; another one for each node."""
        return hashlib.sha256(f"password {self.cookie}".encode()).hexdigest()[:32]

    @property
    def pid(self) -> int:
        """Process id of the Erlang machine ("beam"), the broker itself."""
        try:
            return int((self.folder / "pid").read_text())
        except (OSError, ValueError):
            raise NodeError(f"{self.name} is not running: it has written no process id to {self.folder}") from None

    @property
    def epmd_pid(self) -> int | None:
        """Process id of this node's own port mapper."""
        return self._epmd.pid if self._epmd else None

    @property
    def running(self) -> bool:
        """Its process has not ended."""
        return self._beam is not None and self._beam.running

    # Life

    def start(self) -> RabbitMQNode:
        """Start and wait until AMQP clients are answered. Raises `NodeError` with the end of the node's log."""
        for fresh_ports_left in (2, 1, 0):
            fresh = not (self.folder / "mnesia").exists() and self._epmd_of_another is None
            self.launch()
            try:
                self.wait_ready()
            except NodeError:
                self.stop()
                if not (fresh and fresh_ports_left and "eaddrinuse" in self.log_tail(200)):
                    raise
                shutil.rmtree(self.folder / "log")  # another process took a port between our look and our use
                self._choose_ports()
            else:
                break
        return self

    def launch(self) -> None:
        """Start without waiting; `wait_ready` must follow."""
        if self.running:
            raise NodeError(f"{self.name} runs already")
        command = server_command()
        environment = self._write_files()
        if self._owns_epmd and self._epmd is None:
            epmd = [*command[:-1], "epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"]
            try:
                self._epmd = Child(epmd, environment=environment, output=self.folder / "log" / "epmd.log")
            except FileNotFoundError:
                raise BrokerMissing("epmd, Erlang's port mapper, is not on PATH: install erlang-base") from None
        (self.folder / "pid").unlink(missing_ok=True)
        try:
            self._beam = Child(command, environment=environment, output=self.folder / "log" / "console.log")
        except OSError as error:
            self.stop()
            raise BrokerMissing(f"cannot run {shlex.join(command)}: {error.strerror}") from None

    def wait_ready(self, timeout: float = START_TIMEOUT) -> None:
        """Returns when clients can connect. Raises `NodeError` where it ends before, or takes longer (seconds)."""
        deadline = time.monotonic() + timeout
        while not answers_amqp(self.port):
            if not self.running:
                raise NodeError(f"{self.name} ended while starting. The end of its log:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise NodeError(f"{self.name} was not ready after {timeout:.0f} s. Its log:\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the node in good order, and its epmd. Data stay."""
        self._end_beam(signal.SIGTERM)
        if self._epmd:
            self._epmd.end(signal.SIGTERM, STOP_TIMEOUT)
            self._epmd = None

    def kill(self) -> None:
        """SIGKILL, as when the machine loses power: nothing is flushed, nobody is told. `restart` starts it again."""
        self._end_beam(signal.SIGKILL)

    def restart(self) -> None:
        """Start again, same ports, same data; a node that still runs is stopped in good order first."""
        self._end_beam(signal.SIGTERM)
        self.launch()
        self.wait_ready()

    def _end_beam(self, number: int) -> None:
        if self._beam:
            self._beam.end(number, STOP_TIMEOUT)
            self._beam = None

    def __enter__(self) -> RabbitMQNode:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Control

    def ctl(self, *args: str, timeout: float = 60.0, tool: str = "rabbitmqctl") -> str:
        """Run `rabbitmqctl ARGS` against this node and return its output (about 1 s). Raises `NodeError`.

        `tool`: another of its command line tools, such as `rabbitmq-queues`.
        """
        *prefix, server = server_command()
        command = [*prefix, str(Path(server).with_name(tool)), "-q", *args]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise NodeError(f"{tool} {shlex.join(args)} on {self.name}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def evaluate(self, expression: str, timeout: float = 60.0) -> str:
        """What an Erlang expression (without its full stop) gives on this node, as text. Raises `NodeError`.

        By Erlang's own `erl_call` in some milliseconds of processor time, of which `rabbitmqctl eval` takes 500; by the
        latter where the former is missing, or the server is not this machine's.
        """
        program = shutil.which("erl_call")
        if program is None or len(server_command()) > 1:
            return self.ctl("eval", f"{expression}.", timeout=timeout).rstrip("\n")
        # a string of ASCII is all that it prints as it is
        text = (
            f'base64:encode_to_string(unicode:characters_to_binary(io_lib:format("~0tp", [begin {expression} end]))).\n'
        )
        command = [program, "-r", "-e", "-n", self.name]  # the cookie is read from HOME
        done = subprocess.run(
            command, input=text, env=self._environment(), capture_output=True, text=True, timeout=timeout
        )
        found = re.fullmatch(r'\{ok, "([\w+/=]*)"\}\s*', done.stdout)
        if found is None:
            raise NodeError(f"{expression} on {self.name}: {(done.stderr + done.stdout).strip()}")
        return base64.b64decode(found[1]).decode()

    def log_tail(self, lines: int = _LOG_TAIL) -> str:
        """The end of what the node logged and printed."""
        logs = sorted((self.folder / "log").glob("*.log"), key=lambda file: file.stat().st_mtime)
        texts = [file.read_text(errors="replace").splitlines()[-lines:] for file in logs]
        return "\n".join(line for text in texts for line in text) or f"(nothing in {self.folder / 'log'})"

    def _environment(self) -> dict[str, str]:
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return kept | {
            "HOME": str(self.folder),  # Erlang's cookie is read from here, so it is on no command line
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_CRASH_DUMP": str(self.folder / "log" / "erl_crash.dump"),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
            "RABBITMQ_CTL_ERL_ARGS": loopback,
            "RABBITMQ_CTL_DIST_PORT_MAX": "35999",
            "RUNNING_UNDER_SYSTEMD": "true",  # the launching shell becomes the server instead of waiting for it
            **slim_home(server_command(), self.plugins, self.folder / "home"),
            **self._more_environment,
        }

    def _write_files(self) -> dict[str, str]:
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "default_user": USER,
            "default_pass": self.password,
            "log.file.level": "info",
        }
        if "rabbitmq_management" in self.plugins:
            settings |= {"management.tcp.ip": "127.0.0.1", "management.tcp.port": str(self.management_port)}
        settings |= self._config
        conf = self.folder / "rabbitmq.conf"
        conf.touch(mode=0o600)
        conf.write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self.folder / "advanced.config").write_text(self._advanced or "[].\n")
        (self.folder / "enabled_plugins").write_text(f"[{','.join(self.plugins)}].\n")
        return self._environment()


def main(arguments: Sequence[str] | None = None) -> int:
    """As a program: a node until Ctrl-C or SIGTERM. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Run a private RabbitMQ node until Ctrl-C or SIGTERM.")
    parser.add_argument("--folder", help="keep data and logs here (default: a temporary folder)")
    parser.add_argument("--plugin", action="append", default=[], help="enable a plugin, e.g. rabbitmq_management")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell without job control starts its jobs with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as scratch:
        try:
            with RabbitMQNode(options.folder or scratch, plugins=options.plugin) as node:
                print(node.url, flush=True)  # noqa: T201  # what the caller came for
                signal.pause()
        except NodeError as error:
            print(error, file=sys.stderr)  # noqa: T201
            return 1
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
