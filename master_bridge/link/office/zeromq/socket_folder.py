"""Names for the local sockets between connections and the ROUTER: in a folder of the master's, which stays there."""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
import tempfile
from pathlib import Path

from contracts.operations.socket_path import PATH_MAX

#: In the master's folder, mode 0700.
FOLDER = "agents.zmq"


class SocketFolder:
    """From its making to `close`. What a killed master left there is removed when it starts again.

    A folder of each start in the system's temporary one would stay for ever with each master that is killed.
    """

    def __init__(self, folder: Path) -> None:
        """`folder`: the master's. Raises OSError."""
        self._folder = folder / FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._own = secrets.token_hex(4)
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if _is_too_long(self._folder / self._own) and not sys.platform.startswith("linux"):
            self._temporary = tempfile.TemporaryDirectory(prefix="agents-", dir="/tmp")  # $TMPDIR may be long, too
        self._clear()

    def _clear(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody who lives uses it as well
            return
        for left in self._folder.iterdir():
            left.unlink()

    def path(self, number: int) -> str:
        """Of a connection's socket, while this is open: short enough for one, wherever the master's folder is."""
        name = f"{self._own}-{number}"
        if self._temporary is not None:
            return f"{self._temporary.name}/{name}"
        if _is_too_long(self._folder / name):
            return f"/proc/self/fd/{self._descriptor}/{name}"
        return str(self._folder / name)

    def close(self) -> None:
        """No name of it is used any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary is not None:
            self._temporary.cleanup()


def _is_too_long(path: Path) -> bool:
    return len(os.fsencode(path)) >= PATH_MAX
