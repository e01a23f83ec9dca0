"""One connection on Twisted, whatever its wire: what waits for a peer that reads slowly, and how it is ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from twisted.internet import interfaces
from zope.interface import implementer

from contracts.frames.both_ends import Ends
from contracts.frames.codec import Packed
from master_bridge.link.office.door import Door, Visitor

#: Bytes that wait for a peer which does not read: then it is ended. A session's window of data is 2 MiB.
BACKLOG_MAX = 16 * 1024 * 1024
#: Seconds for what was sent last to leave before a connection is cut.
LINGER = 5.0


@implementer(interfaces.IPushProducer)
class ConnectedPeer(ABC):
    """Most of a `door.Peer`, and a producer for Twisted. Its wire calls `_connected`, `_lost`, and has `_write`."""

    def __init__(self, reactor: Any, door: Door) -> None:
        self._reactor = reactor
        self._door = door
        self._visitor: Visitor | None = None
        self._paused = False
        self._waiting: deque[Packed] = deque()
        self._backlog = 0
        self._cutting: Any = None

    @property
    @abstractmethod
    def _transport(self) -> Any: ...

    @abstractmethod
    def _write(self, packed: Packed) -> None:
        """To Twisted's transport, which takes all."""

    def _connected(self) -> None:
        self._transport.registerProducer(self, True)

    def _lost(self, *, ended: bool = False) -> None:
        """The connection is gone. `ended`: the other side's kernel has closed it in order, and we had not."""
        if self._cutting is not None and self._cutting.active():
            self._cutting.cancel()
        if self._visitor is not None:
            self._visitor.gone(ended=ended)

    # -- the door's side

    @property
    def ends(self) -> Ends | None:
        return None

    def send(self, packed: Packed) -> None:
        """In order; a peer that reads too slowly is ended."""
        if self._paused:
            self._backlog += len(packed.header) + len(packed.body)
            self._waiting.append(packed)
            if self._backlog > BACKLOG_MAX and self._visitor is not None:
                self._waiting.clear()
                self._backlog, self._paused = 0, False
                self._visitor.broken(f"it reads too slowly: more than {BACKLOG_MAX} bytes wait for it")
            return
        self._write(packed)

    def end(self) -> None:
        """Close once what was sent is on its way, or `LINGER` seconds have gone by."""
        self._transport.unregisterProducer()
        while self._waiting:
            self._write(self._waiting.popleft())
        self._transport.loseConnection()
        if self._cutting is None:
            self._cutting = self._reactor.callLater(LINGER, self._transport.abortConnection)

    # -- Twisted's side

    def pauseProducing(self) -> None:
        """Twisted: its buffer is full."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Twisted: it has room again."""
        self._paused = False
        while self._waiting and not self._paused:
            packed = self._waiting.popleft()
            self._backlog -= len(packed.header) + len(packed.body)
            self._write(packed)

    def stopProducing(self) -> None:
        """Twisted: the connection is about to be gone."""
        self._waiting.clear()
