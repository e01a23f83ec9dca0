"""May a keeper whose session is over take another one? Only if it is as it was before: nothing may outlive its session.

A keeper that takes the next session saves three forks and as many ends of processes: ten of the twenty milliseconds of
processor time that keepers and commands of a short build took. What is looked at here is what a session could leave in
the process itself; that none of its processes is left the session says (`KeeperSession.empty`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

from worker_agent.keeper.settings import KeeperConfig

#: Bytes of resident memory that a keeper may have more than at its first session. A build with a large log or file may
#: leave that much free in the process, where no other process can use it.
GROWN_MAX = 8 * 1024 * 1024
#: Looks, and seconds between them, at threads that are about to end: those of files do so after their last call.
_LOOKS, _PAUSE = 10, 0.002
_PEEK = 4096
_PAGE = os.sysconf("SC_PAGE_SIZE")


def next_session(connection: socket.socket) -> KeeperConfig | None:
    """Wait for a session; None when there is none to come. Reads nothing of what follows."""
    connection.setblocking(True)  # a loop has read from it
    line = b""
    while not line.endswith(b"\n"):
        seen = connection.recv(_PEEK, socket.MSG_PEEK)
        if not seen:
            return None
        line += connection.recv(seen.find(b"\n") + 1 or len(seen))
    return KeeperConfig.loads(line.decode())


class Before:
    """The process as it was when its first session began; made in the event loop."""

    def __init__(self) -> None:
        self._descriptors = _descriptors()
        self._memory = _memory()

    async def is_now(self) -> bool:
        """No thread, no descriptor and not much memory more. False as well where the system does not tell."""
        for _ in range(_LOOKS):  # a thread that hangs in a call of the file system does not end
            if threading.active_count() == 1:
                break
            await asyncio.sleep(_PAUSE)
        else:
            return False
        descriptors, memory = _descriptors(), _memory()
        return 0 < descriptors <= self._descriptors and 0 < memory <= self._memory + GROWN_MAX


def _descriptors() -> int:
    """How many are open; 0: the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def _memory() -> int:
    """Bytes that are resident; 0: the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0
