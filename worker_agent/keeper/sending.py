"""What is on its way to a keeper. A download's bytes stay where they are until the socket takes them.

asyncio's transport copies what does not fit into the socket to the end of one buffer, which grows and moves with each
megabyte (Python 3.11): half of what an agent did in a download was that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Union

from worker_agent.keeper.limits import PULL_SIZE
from worker_agent.keeper.wire import Frames, encode

#: Bytes handed to the transport at a time: what asyncio reads at a time at the other end.
PIECE = 256 * 1024


class Outgoing:
    """Messages in order, each with its data. `pause` and `resume` are the transport's (`asyncio.BaseProtocol`)."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._waiting: deque[Union[bytes, memoryview]] = deque()
        self._paused = False
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # A piece of a download goes at once, where the system allows that much (Linux: net.core.wmem_max).
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PULL_SIZE)

    def send(self, message: dict[str, Any], data: bytes = b"") -> None:
        """Say `message`, then `data`, when their turn comes; nothing to one that is gone."""
        if self._transport.is_closing():
            return
        self._waiting.append(encode(message, len(data)))
        view = memoryview(data)
        self._waiting.extend(view[start : start + PIECE] for start in range(0, len(data), PIECE))
        self._work()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._work()

    def leave(self) -> socket.socket:
        """Say and hear no more, and go on without asyncio: the same connection, blocking. Raises OSError."""
        connection: socket.socket = self._transport.get_extra_info("socket").dup()
        self._transport.close()
        connection.setblocking(True)
        return connection

    def close(self) -> None:
        """Say what is still to be said, then close; returns at once."""
        self._paused = False
        while self._waiting:
            self._transport.write(self._waiting.popleft())
        self._transport.close()

    def _work(self) -> None:
        while self._waiting and not self._paused and not self._transport.is_closing():
            self._transport.write(self._waiting.popleft())


class MessageStream(asyncio.Protocol):
    """One end of a socket that carries messages both ways: what comes goes through `frames`, what goes, `outgoing`.

    Subclasses have `data_received` and `connection_lost`. `connected` gets `outgoing` once there is a connection.
    """

    outgoing: Outgoing

    def __init__(self, connected: Callable[[Outgoing], None]) -> None:
        self.frames = Frames()
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: the socket is ours to write to."""
        assert isinstance(transport, asyncio.Transport)
        self.outgoing = Outgoing(transport)
        self._connected(self.outgoing)

    def pause_writing(self) -> None:
        """From asyncio: the other end does not read as fast as we write."""
        self.outgoing.pause()

    def resume_writing(self) -> None:
        """From asyncio: it has read."""
        self.outgoing.resume()
