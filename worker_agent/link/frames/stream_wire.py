"""Frames on a stream of bytes: what an `ssh` carries, or a socket that a relay has joined to one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from contracts.frames.codec import NotAFrame, Packed
from contracts.frames.stream import StreamParser, stream_bytes
from worker_agent.link.frames.wire import WireLost

#: Bytes that are asked of the stream at once.
READ = 256 * 1024


class StreamWire(ABC):
    """Most of a `FrameWire`. `where`: the other end, for people."""

    #: an ssh, or a relay, is between
    connection = None

    def __init__(self, where: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._where = where
        self._reader = reader
        self._writer = writer
        self._parser = StreamParser()

    @abstractmethod
    async def _lost(self) -> WireLost:
        """Why it ended, once it has."""

    async def send(self, packed: Packed) -> None:
        try:
            self._writer.write(stream_bytes(packed))
            await self._writer.drain()
        except (OSError, RuntimeError) as error:  # RuntimeError: a transport that was closed
            raise await self._lost() from error

    async def receive(self) -> Packed:
        while True:
            try:
                packed = self._parser.next_frame()
            except NotAFrame as error:
                raise WireLost(f"{self._where} sent what is no frame: {error}") from None
            if packed is not None:
                return packed
            try:
                data = await self._reader.read(READ)
            except OSError:
                data = b""
            if not data:
                raise await self._lost()
            self._parser.feed(data)

    @abstractmethod
    async def close(self) -> None: ...
