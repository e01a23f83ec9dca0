"""Copies of the agent's connection to its master, which the keepers of all sessions hold (`keeper/link_copy.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket

from contracts.operations.socket_path import short_path
from worker_agent.keeper.wire import LINK_HELD, LINK_NAME_BYTES, LINK_SOCKET

#: Seconds for a keeper to take a copy; it takes a millisecond.
_PATIENCE = 2.0


class LinkCopies:
    """What the keepers are to hold: one connection at a time, the newest, or none."""

    def __init__(self) -> None:
        self._ours: socket.socket | None = None
        #: of the copy that is to be held; empty: none
        self.name = ""

    def begin(self, descriptor: int) -> str:
        """This connection is to be held from now on, instead of what was before. Returns its name; raises OSError."""
        ours = socket.socket(fileno=_duplicate(descriptor))
        self.end(self.name)
        self._ours, self.name = ours, secrets.token_hex(LINK_NAME_BYTES)
        return self.name

    def end(self, name: str) -> bool:
        """That one is not to be held any more; False: it is not the one that is."""
        if self._ours is None or name != self.name:
            return False
        self._ours.close()
        self._ours, self.name = None, ""
        return True

    async def give(self, folder: str) -> bool:
        """Have the keeper in that session's folder hold it. False: it has not taken it, or there is none."""
        name, ours = self.name, self._ours
        if ours is None:
            return False
        with contextlib.suppress(OSError):
            descriptor = _duplicate(ours.fileno())
            return await asyncio.to_thread(_give, folder, name, descriptor) and name == self.name
        return False


def _duplicate(descriptor: int) -> int:
    """Not inherited."""
    return os.dup(descriptor)


def _give(folder: str, name: str, descriptor: int) -> bool:
    """Blocks; closes `descriptor`. Raises OSError: the keeper is of an earlier version, or gone."""
    with socket.socket(fileno=descriptor) as copy, socket.socket(socket.AF_UNIX) as keeper:
        keeper.settimeout(_PATIENCE)
        with short_path(os.path.join(folder, LINK_SOCKET)) as path:
            keeper.connect(path)
        socket.send_fds(keeper, [bytes.fromhex(name)], [copy.fileno()])
        return keeper.recv(len(LINK_HELD)) == LINK_HELD
