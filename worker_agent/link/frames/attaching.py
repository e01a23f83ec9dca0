"""Frames that a master brings: `worker-agent attach`, which its ssh starts, joins them to the agent's own socket.

The agent outlives that process, so what runs here runs on when an ssh ends, and the next one finds it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from contracts.operations.socket_path import short_path
from worker_agent.link.frames.stream_wire import READ, StreamWire
from worker_agent.link.frames.wire import WireLost
from worker_agent.link.options import LinkOptions

log = structlog.get_logger(__name__)

#: How the other end is called for people.
WHERE = "the master that reaches this agent"


class AttachedWire(StreamWire):
    """`FrameWire` over the socket."""

    #: a newer connection has come meanwhile
    replaced = False

    async def _lost(self) -> WireLost:
        return WireLost(f"another connection of {WHERE} has come" if self.replaced else f"the way to {WHERE} has ended")

    async def close(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.close()

    def replace(self) -> None:
        """End it: whoever made it has given it up, most likely, and knows of it earlier than we."""
        self.replaced = True
        self._writer.transport.abort()


class Attaching:
    """Listens at the socket from the first `open` to `close`. Of several connections the newest counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.AbstractServer | None = None
        self._newest: AttachedWire | None = None
        self._came = asyncio.Event()

    async def open(self, _options: LinkOptions) -> AttachedWire:
        """The newest connection, which may be long in coming. Raises `WireLost` where there can be no socket."""
        if self._server is None:
            await self._listen()
        await self._came.wait()
        self._came.clear()
        assert self._newest is not None
        return self._newest

    async def _listen(self) -> None:
        try:
            with short_path(self._path) as short:
                self._server = await asyncio.start_unix_server(self._connected, path=short, limit=READ)
            self._path.chmod(0o600)  # the folder is closed to others, too
        except OSError as error:
            raise WireLost(f"{self._path}: {error.strerror or error}") from None
        log.info("waiting_for_master", socket=str(self._path))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        former, self._newest = self._newest, AttachedWire(WHERE, reader, writer)
        if former is not None:
            former.replace()
        self._came.set()

    async def close(self) -> None:
        """Nobody is met any more, and the socket is gone."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._newest is not None:
            await self._newest.close()
        self._path.unlink(missing_ok=True)
