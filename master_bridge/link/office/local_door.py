"""Agents that come by ssh: programs of this machine's user bring them to a socket in the master's folder.

`master-bridge serve-agent`, which sshd starts for a key in `authorized_keys`, and `master-bridge reach`, which starts
ssh, first say in one line whose connection it is. Only who may open the socket (mode 0600) can say so, and that is who
may also read and write all else in the master's folder.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

import structlog
from twisted.internet import protocol

from contracts.frames.codec import NotAFrame, Packed
from contracts.frames.stream import StreamParser, stream_bytes
from contracts.operations.stdio_relay import connect
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import Certified
from master_bridge.link.office.connected_peer import ConnectedPeer
from master_bridge.link.office.door import LOGIN_TIMEOUT, AddressTaken, Door
from master_bridge.link.office.local_socket import INTRODUCTION, INTRODUCTION_MAX, SOCKET_FILE
from master_bridge.link.office.socket_listener import SocketListener

log = structlog.get_logger(__name__)


class LocalPeer(ConnectedPeer, protocol.Protocol):
    """One connection: a `Peer` for the door, and Twisted's protocol."""

    def __init__(self, reactor: Any, door: Door) -> None:
        super().__init__(reactor, door)
        self._parser = StreamParser()
        self._first = b""
        self._certified: Certified | None = None
        self._origin = ""
        self._introducing: Any = None

    # -- the door's side

    @property
    def host(self) -> str:
        return self._origin

    @property
    def certified(self) -> Certified | None:
        return self._certified

    def limit(self, size: int) -> None:
        self._parser.limit = size

    @property
    def _transport(self) -> Any:
        return self.transport

    def _write(self, packed: Packed) -> None:
        self._transport.write(stream_bytes(packed))

    # -- Twisted's side

    def connectionMade(self) -> None:
        """Twisted: somebody has opened the socket."""
        self._introducing = self._reactor.callLater(LOGIN_TIMEOUT, self._transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """Twisted: bytes came."""
        if self._certified is None:
            data = self._introduced(data)
        visitor = self._visitor
        if visitor is None or visitor.over:
            return
        self._parser.feed(data)
        try:
            while not visitor.over and (packed := self._parser.next_frame()) is not None:
                visitor.received(packed)
        except NotAFrame as error:
            visitor.broken(f"what came is no frame: {error}")

    def _introduced(self, data: bytes) -> bytes:
        """What follows the first line, with which the connection has come in."""
        self._first += data
        line, end, rest = self._first.partition(b"\n")
        if not end and len(line) <= INTRODUCTION_MAX:
            return b""
        found = INTRODUCTION.fullmatch(line + end)
        if found is None:
            log.warning(
                "nobody_introduced", socket=SOCKET_FILE, remedy="agents come there by `master-bridge serve-agent`"
            )
            self._transport.abortConnection()
            return b""
        account, origin = (part.decode() for part in found.groups())
        self._certified = Certified(user=account, by="ssh")
        # machines behind one gateway have one address: the door bounds what comes of each account
        self._origin = f"{account} at {origin}"
        self._introducing.cancel()
        self._connected()
        self._visitor = self._door.came_in(self)
        if self._visitor is None:
            self.end()
        return rest

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        """Twisted: it is gone."""
        if self._introducing.active():
            self._introducing.cancel()
        self._lost()


class LocalListener(SocketListener):
    """Listens at the socket in the master's folder from `start` to `stop`."""

    def __init__(self, reactor: Any, door: Door, folder: Path, *, needed: bool = True) -> None:
        """`needed` False: agents have another way in, and do without this one where it cannot be made."""
        self._needed = needed
        factory = protocol.Factory.forProtocol(lambda: LocalPeer(reactor, door))
        factory.noisy = False  # Twisted's lines about factories mean nothing to anybody
        super().__init__(reactor, folder / SOCKET_FILE, factory)

    def start(self) -> None:
        """Raises `AddressTaken`, and `BadSettings` where there cannot be a socket."""
        try:
            self._remove_former()
            super().start()
        except OSError as error:
            reason = f"{self.path}: {error.strerror or error}"
            if self._needed:
                raise BadSettings(reason) from None
            log.warning("ssh_socket_not_made", reason=reason, effect="no agent comes in by ssh")

    def _remove_former(self) -> None:
        """That of a master that was killed, at which nobody listens. Raises `AddressTaken` and OSError."""
        try:
            if not stat.S_ISSOCK(self.path.lstat().st_mode):
                raise OSError(errno.ENOTSOCK, "it is no socket: move it away")
            connect(self.path).close()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
            self.path.unlink(missing_ok=True)
        else:
            raise AddressTaken(f"another process listens at {self.path}")
