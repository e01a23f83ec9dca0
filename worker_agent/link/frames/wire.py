"""What the link asks of a wire: frames there and back, in order, until it is lost."""

from __future__ import annotations

import socket
from typing import Protocol

from contracts.frames.codec import Packed


class WireLost(Exception):
    """The wire is of no use any more, or could not be opened; the text is for people."""


class FrameWire(Protocol):
    """An open connection to a post office. One task sends and one receives at a time; `close` may come between."""

    @property
    def connection(self) -> socket.socket | None:
        """The TCP connection, where its end is the wire's, and the other side sees how it ends; `close` resets it."""

    async def send(self, packed: Packed) -> None:
        """Done when the wire has room for more: who waits for it keeps what it sends bounded. Raises `WireLost`."""

    async def receive(self) -> Packed:
        """The next frame, whole. Raises `WireLost`, also when the peer sends what is no frame."""

    async def close(self) -> None:
        """At once; what was sent may be lost. Nothing of it is left open then. Never raises."""
