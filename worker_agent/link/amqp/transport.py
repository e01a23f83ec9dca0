"""The socket under one connection: tries each address of the broker's name, and hears what the broker says of itself.

aiormq loses what a broker says when it refuses a vhost (7.2 raises "Expected one of ['Connection.OpenOk'], got <Close
object at 0x…>", 6.9 something like it), and tells nobody but its log of a blocked connection. Both are read here, from
the frames of channel 0, on their way to it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, SupportsIndex

from aio_pika import Connection
from aiormq.connection import TransportFactory
from pamqp import commands, frame
from pamqp.exceptions import PAMQPException
from yarl import URL

from contracts.operations.reachability import NEXT_ADDRESS

#: Bytes by which a peer is known to be no broker.
FIRST = 8
#: Class and method of `connection.close`, `.blocked` and `.unblocked`, as a method frame's payload begins.
_TOLD = frozenset({b"\x00\x0a\x00\x32", b"\x00\x0a\x00\x3c", b"\x00\x0a\x00\x3d"})


class Heard:
    """What a broker said of its connection. `on_blocked(reason)` is called when it blocks it, with None afterwards."""

    def __init__(self, on_blocked: Callable[[str | None], None]) -> None:
        self._on_blocked = on_blocked
        #: a peer took the connection, and TLS is agreed where it is used
        self.connected = False
        #: the first bytes that came
        self.first = b""
        #: code and text of `connection.close`
        self.close: tuple[int, str] | None = None

    def method(self, data: bytes) -> None:
        """A whole method frame of channel 0."""
        try:
            _, _, said = frame.unmarshal(data)
        except PAMQPException:
            return  # aiormq says what is wrong with it
        if isinstance(said, commands.Connection.Close):
            self.close = (said.reply_code or 0, str(said.reply_text or ""))
        elif isinstance(said, commands.Connection.Blocked):
            self._on_blocked(str(said.reason or ""))
        elif isinstance(said, commands.Connection.Unblocked):
            self._on_blocked(None)


class _Reader(asyncio.StreamReader):
    """aiormq reads a frame in three pieces: one byte, the six others of its head, the payload with its end."""

    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard
        self._head = b""

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if len(self._heard.first) < FIRST:
            self._heard.first += bytes(data)[: FIRST - len(self._heard.first)]
        super().feed_data(data)

    async def readexactly(self, n: int) -> bytes:
        data = await super().readexactly(n)
        if len(self._head) < 7:
            self._head += data
            return data
        head, self._head = self._head, b""
        if head[:3] == b"\x01\x00\x00" and data[:4] in _TOLD:
            self._heard.method(head + data)
        return data


class Gathered(asyncio.StreamWriter):
    """What is written in one turn of the loop goes out at its end in one piece: a system call for all of it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]  # aiormq writes bytes only
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces.append(data)

    async def drain(self) -> None:
        self._flush()
        await super().drain()

    def write_eof(self) -> None:
        self._flush()
        super().write_eof()

    def close(self) -> None:
        self._flush()
        super().close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            super().write(b"".join(pieces) if len(pieces) > 1 else pieces[0])


class Socket(TransportFactory):
    """Opens one connection's socket. `context` None: without TLS."""

    def __init__(self, context: ssl.SSLContext | None, heard: Heard) -> None:
        self._context = context
        self._heard = heard
        self._transport: asyncio.Transport | None = None

    async def create(self, url: URL, **_ignored: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first address of the URL's host that answers. Raises OSError."""
        loop = asyncio.get_running_loop()
        reader = _Reader(self._heard)
        protocol = asyncio.StreamReaderProtocol(reader)
        self._transport, _ = await loop.create_connection(
            lambda: protocol, url.host or "", url.port or 0, ssl=self._context, happy_eyeballs_delay=NEXT_ADDRESS
        )
        self._heard.connected = True
        return reader, Gathered(self._transport, protocol, reader, loop)

    def abort(self) -> None:
        """Close the socket now, whatever the library made of it."""
        if self._transport is not None:
            with suppress(AttributeError):  # Python 3.11.2 and others before: of a TLS transport that has closed itself
                self._transport.abort()


class BrokerConnection(Connection):
    """aio-pika's connection over a `Socket`. `name`: shown by the broker's management page."""

    def __init__(self, url: URL, socket: Socket, name: str) -> None:
        super().__init__(url)
        # aio-pika hands these on to aiormq.connect, and has no argument for the first
        self.kwargs["transport_factory"] = socket
        self.kwargs["client_properties"] = {"connection_name": name}
