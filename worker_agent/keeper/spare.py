"""A keeper process that waits for its session: it has read its program already, so a session starts the sooner.

Starting one takes a Python some 80 ms of processor time, which lay between the grant of a build and its first command.
A spare that nobody needs any more ends when its socket is closed, so it does not outlive its main process.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from worker_agent.keeper.isolated import isolated, with_socket
from worker_agent.keeper.settings import KeeperConfig

#: Seconds that a spare has for its end, once told; it does nothing but end.
_END = 5.0
_PEEK = 4096


class Spare:
    """A waiting keeper process. Used once: by `start`, or by `end`."""

    def __init__(self, env: Mapping[str, str], log: Path | None = None, run_as: str = "") -> None:
        """Raises OSError: no process can be made.

        `env` is what its commands will inherit. `log`: where it complains if it cannot start; None: where we do.
        `run_as`: the user whom they run as; empty: ours.
        """
        self.process, self.socket = with_socket(lambda fd: _spawn(fd, env, log, run_as))

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def start(self, config: KeeperConfig) -> None:
        """Make it the keeper of a session; it answers `hello` on `socket`. Raises OSError: it is gone."""
        self.socket.sendall(config.dumps().encode() + b"\n")

    def end(self) -> None:
        """Blocks until it is gone."""
        self.socket.close()
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _spawn(fd: int, env: Mapping[str, str], log: Path | None, run_as: str) -> subprocess.Popen[bytes]:
    # Isolated: nothing in the environment, the working directory or a .pth file changes what is run.
    program = isolated("from worker_agent.keeper.server import main; main(int(sys.argv[2]), *sys.argv[3:])")
    output = _open_log(log) if log is not None else None
    try:
        return subprocess.Popen(
            [*program, "worker-agent keeper", str(fd), *([run_as] if run_as else [])],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output if output is not None else subprocess.DEVNULL,
            stderr=output,
            pass_fds=[fd],
            start_new_session=True,
        )
    finally:
        if output is not None:
            os.close(output)


def _open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def read_config(connection: socket.socket) -> KeeperConfig | None:
    """The keeper's side: wait for a session; None when there is none to come. Reads nothing of what follows."""
    line = b""
    while not line.endswith(b"\n"):
        seen = connection.recv(_PEEK, socket.MSG_PEEK)
        if not seen:
            return None
        line += connection.recv(seen.find(b"\n") + 1 or len(seen))
    return KeeperConfig.loads(line.decode())


def log_to(path: Path) -> None:
    """What this process prints goes to `path` from now on."""
    fd = _open_log(path)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
