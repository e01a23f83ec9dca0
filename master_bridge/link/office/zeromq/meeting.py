"""A local socket at which one connection is waited for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer


@implementer(IReadDescriptor)
class Meeting:
    """Open until one has come. Twisted's own listeners are said in the log, each with its beginning and its end."""

    def __init__(self, reactor: Any, path: str, side: protocol.Protocol, failed: Callable[[Exception], None]) -> None:
        """`side`: of who comes; `failed` is told once where that cannot be taken. Raises OSError."""
        self._reactor = reactor
        self._path = path
        self._side = side
        self._failed = failed
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(path)
            os.chmod(path, 0o600)
            self._socket.listen(1)
            reactor.addReader(self)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Nobody is waited for any more."""
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def fileno(self) -> int:
        """Twisted: what is watched."""
        return -1 if self._socket is None else self._socket.fileno()

    def doRead(self) -> None:
        """Twisted: somebody has come."""
        if self._socket is None:
            return
        try:
            line, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self.close()
            self._failed(error)
            return
        self.close()
        with line:
            line.setblocking(False)
            factory = protocol.Factory.forProtocol(lambda: self._side)
            factory.noisy = False
            self._reactor.adoptStreamConnection(line.fileno(), socket.AF_UNIX, factory)

    def connectionLost(self, _reason: Any) -> None:
        """Twisted: the reactor ends."""

    def logPrefix(self) -> str:
        """Twisted: in its log."""
        return "zeromq"
