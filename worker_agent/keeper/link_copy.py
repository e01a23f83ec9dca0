"""A copy of the agent's connection to its master, which the keeper holds so that the connection lives as long as it.

A kernel closes a connection when the last process that has it ends. So its end, in order and without a goodbye, tells a
master that neither the main process nor any keeper is left (docs/protocol.md, rule 10). Where only the main process has
ended, the keeper lets go with a reset a moment later, which tells nothing but that the connection is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable

from worker_agent.keeper.files import remove_file
from worker_agent.keeper.wire import LINK_HELD, LINK_NAME_BYTES, LINK_SOCKET

#: Seconds after the main process's end before the copy is let go: who kills all of an agent needs a moment for it.
LET_GO_AFTER = 0.5
#: Closes with a reset (socket(7), SO_LINGER with a time of zero).
RESET = struct.pack("ii", 1, 0)


class LinkCopy:
    """Takes copies at the socket from `open` to `close`; the newest counts. Needs a running loop."""

    def __init__(self, may_command: Callable[[socket.socket], bool]) -> None:
        self._may_command = may_command
        self._listener: socket.socket | None = None
        #: who has come and not said what they want
        self._coming: socket.socket | None = None
        self._held: socket.socket | None = None
        #: of the copy that is held; empty: none
        self.name = ""

    def open(self) -> None:
        """Raises OSError."""
        remove_file(LINK_SOCKET)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(LINK_SOCKET)
        os.chmod(LINK_SOCKET, 0o600)
        self._listener.listen()
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._come)

    def close(self) -> None:
        """No more are taken. What is held ends with this process, unless somebody else has it."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._forget()
        remove_file(LINK_SOCKET)

    def drop(self) -> None:
        """After `close`: the process goes on without it, and those who have the connection notice nothing."""
        held, self._held, self.name = self._held, None, ""
        if held is not None:
            held.close()

    def let_go(self, name: str) -> None:
        """Of that copy, if it is still the one that is held: with a reset, where nobody has closed it before."""
        if self._held is None or name != self.name:
            return
        held, self._held, self.name = self._held, None, ""
        with contextlib.suppress(OSError):  # it is no TCP connection, or there is none any more
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        held.close()

    def _come(self) -> None:
        assert self._listener is not None
        try:
            coming, _ = self._listener.accept()
        except OSError:
            return
        self._forget()
        if not self._may_command(coming):
            coming.close()
            return
        coming.setblocking(False)
        self._coming = coming
        asyncio.get_running_loop().add_reader(coming, self._take, coming)

    def _take(self, coming: socket.socket) -> None:
        descriptors: list[int] = []
        try:
            name, descriptors, _, _ = socket.recv_fds(coming, LINK_NAME_BYTES, 1)
            if len(name) == LINK_NAME_BYTES and len(descriptors) == 1:
                os.set_inheritable(descriptors[0], False)
                held = socket.socket(fileno=descriptors.pop())
                self.let_go(self.name)
                self._held, self.name = held, name.hex()
                coming.send(LINK_HELD)
        except OSError:
            pass  # whoever asked hears no answer
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            self._forget()

    def _forget(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            asyncio.get_running_loop().remove_reader(coming)
            coming.close()
