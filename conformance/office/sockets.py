"""Agents that come by a socket: frames on a stream, as `ssh` carries them, and in AMP's boxes."""

from __future__ import annotations

import select
import shlex
import socket
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from conformance.office.entrance import ACCOUNT, Came
from contracts.frames.amp import Assembler, BoxParser, boxes_of, bytes_of
from contracts.frames.codec import NotAFrame, Packed
from contracts.frames.stream import StreamParser, stream_bytes

#: Seconds for an agent to read what it is sent.
PATIENCE = 15.0
_READ = 256 * 1024
_ROOT = Path(__file__).parents[2]


class Framing(Protocol):
    """Bytes of one socket to frames, and back."""

    def frames(self, data: bytes) -> Iterator[Packed]:
        """Those that are complete with these bytes. Raises `NotAFrame`."""

    def bytes_of(self, packed: Packed) -> bytes:
        """A frame as it travels."""


class OnStream:
    def __init__(self) -> None:
        self._parser = StreamParser()

    def frames(self, data: bytes) -> Iterator[Packed]:
        self._parser.feed(data)
        while (packed := self._parser.next_frame()) is not None:
            yield packed

    def bytes_of(self, packed: Packed) -> bytes:
        return stream_bytes(packed)


class InBoxes:
    def __init__(self) -> None:
        self._parser = BoxParser()
        self._assembler = Assembler()

    def frames(self, data: bytes) -> Iterator[Packed]:
        for box in self._parser.feed(data):
            if (packed := self._assembler.add(box)) is not None:
                yield packed

    def bytes_of(self, packed: Packed) -> bytes:
        return b"".join(map(bytes_of, boxes_of(packed)))


class SocketLine:
    def __init__(self, connection: socket.socket, framing: Framing) -> None:
        self.connection = connection
        self._framing = framing
        self.open = True

    def send(self, packed: Packed) -> None:
        self.connection.settimeout(PATIENCE)
        self.connection.sendall(self._framing.bytes_of(packed))

    def close(self) -> None:
        self.open = False
        self.connection.close()

    def read(self) -> Iterator[Came]:
        """What is there now."""
        try:
            data = self.connection.recv(_READ)
        except OSError:
            data = b""
        if not data:
            yield Came(self, "gone")
            return
        try:
            for packed in self._framing.frames(data):
                yield Came(self, "frame", packed)
        except NotAFrame as error:
            yield Came(self, "nonsense", problem=str(error))


class SocketEntrance(ABC):
    """`url` and `product`: as an `Entrance` has them."""

    url: str
    product: str

    def __init__(self, listener: socket.socket, framing: Callable[[], Framing]) -> None:
        self._listener = listener
        self._framing = framing
        self._lines: list[SocketLine] = []

    def wait(self, seconds: float) -> list[Came]:
        self._lines = [line for line in self._lines if line.open]
        by_socket = {line.connection: line for line in self._lines}
        ready, _, _ = select.select([self._listener, *by_socket], [], [], seconds)
        found: list[Came] = []
        for each in ready:
            if each is self._listener:
                line = SocketLine(self._listener.accept()[0], self._framing())
                self._lines.append(line)
                found.append(Came(line, "opened"))
            else:
                found.extend(by_socket[each].read())
        return found

    def cut(self) -> None:
        for line in self._lines:
            line.close()

    @abstractmethod
    def close(self) -> None:
        self.cut()
        self._listener.close()


class StreamEntrance(SocketEntrance):
    """`url` is a program that joins its standard input and output to a Unix socket."""

    product = "frames on a stream"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-", dir="/tmp")  # $TMPDIR may be long
        path = Path(self._folder.name) / "office.sock"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen(16)
        super().__init__(listener, OnStream)
        connect = Path(self._folder.name) / "connect"
        words = [sys.executable, "-m", "conformance.office.connect", str(path)]
        connect.write_text(f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(_ROOT))}\nexec {shlex.join(words)}\n")
        connect.chmod(0o755)
        self.url = str(connect)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


class AMPEntrance(SocketEntrance):
    """On loopback, without TLS, which is between the boxes and their socket. Any token will do."""

    product = "frames over AMP"

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        super().__init__(listener, InBoxes)
        self.url = f"amp://{ACCOUNT}:token@127.0.0.1:{listener.getsockname()[1]}"

    def close(self) -> None:
        super().close()
