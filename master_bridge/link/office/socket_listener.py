"""A socket in the master's folder that its user alone can open, on Twisted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from twisted.internet import defer, protocol
from twisted.internet.error import CannotListenError

from contracts.operations.socket_path import short_path

#: Connections that wait to be taken: agents of a fleet come back in one moment, and a socket that is full refuses them.
BACKLOG = 1024


class SocketListener:
    """Listens from `start` to `stop`, which takes the file away."""

    def __init__(self, reactor: Any, path: Path, factory: protocol.Factory) -> None:
        self._reactor = reactor
        self._factory = factory
        self.path = path
        self._port: Any = None
        self._short = contextlib.ExitStack()

    def start(self) -> None:
        """Where no file is. Raises OSError."""
        try:
            short = self._short.enter_context(short_path(self.path))
            self._port = self._reactor.listenUNIX(short, self._factory, backlog=BACKLOG, mode=0o600)
        except CannotListenError as error:
            self._short.close()
            raise OSError(getattr(error.socketError, "errno", None), str(error.socketError)) from None

    def stop(self) -> Any:
        """Fires when nobody is listened for any more."""
        if self._port is None:
            return defer.succeed(None)
        return defer.maybeDeferred(self._port.stopListening).addBoth(lambda _: self._stopped())

    def _stopped(self) -> None:
        """Where the file was gone before, Twisted has failed half-way."""
        left = getattr(self._port, "socket", None)
        if left is not None:
            left.close()
        self._short.close()
