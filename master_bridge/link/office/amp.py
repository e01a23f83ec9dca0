"""Agents that come by AMP, with TLS unless it was turned off: Twisted's own boxes and listeners."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from pathlib import Path
from typing import Any

import structlog
from twisted.internet import defer, interfaces, protocol
from twisted.internet.error import CannotListenError
from twisted.protocols.amp import AmpBox, BinaryBoxProtocol
from zope.interface import implementer

from contracts.frames.amp import Assembler, boxes_of
from contracts.frames.codec import NotAFrame, Packed
from contracts.operations.office_url import ListenAddress
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.accounts import KnownAgent
from master_bridge.link.office.certificates import name_of, server_options
from master_bridge.link.office.door import Door, Visitor
from master_bridge.link.office.own_socket import OWN_OPERATOR, SOCKET_FILE, remove_stale, short_path
from master_bridge.link.settings import TLSSettings

log = structlog.get_logger(__name__)

#: Bytes that wait for a peer which does not read: then it is ended. A session's window of data is 2 MiB.
BACKLOG_MAX = 16 * 1024 * 1024
#: Seconds for what was sent last to leave before a connection is cut.
LINGER = 5.0
#: Bytes of a box that are lengths and keys.
_OVERHEAD = 64


@implementer(interfaces.IPushProducer)
class AMPPeer:
    """One connection: a `Peer` for the door, a receiver of boxes and a producer for Twisted."""

    def __init__(self, reactor: Any, door: Door, own: KnownAgent | None = None) -> None:
        self._reactor = reactor
        self._door = door
        self._own = own
        self._boxes: BinaryBoxProtocol | None = None
        self._assembler = Assembler()
        self._visitor: Visitor | None = None
        self._paused = False
        self._waiting: deque[Packed] = deque()
        self._backlog = 0
        self._cutting: Any = None
        #: bytes that came since the last whole box: a box may have many keys, of which Twisted keeps all
        self.unboxed = 0

    # -- the door's side

    @property
    def host(self) -> str:
        return str(getattr(self._transport.getPeer(), "host", "this machine"))

    @property
    def certified(self) -> str | None:
        certificate = getattr(self._transport, "getPeerCertificate", lambda: None)()
        return None if certificate is None else name_of(certificate)

    def limit(self, size: int) -> None:
        self._assembler.limit = size

    def send(self, packed: Packed) -> None:
        if self._paused:
            self._backlog += len(packed.header) + len(packed.body)
            self._waiting.append(packed)
            if self._backlog > BACKLOG_MAX and self._visitor is not None:
                self._waiting.clear()
                self._backlog, self._paused = 0, False
                self._visitor.broken(f"it reads too slowly: more than {BACKLOG_MAX} bytes wait for it")
            return
        self._write(packed)

    def _write(self, packed: Packed) -> None:
        assert self._boxes is not None
        for box in boxes_of(packed):
            self._boxes.sendBox(AmpBox(box))

    def end(self) -> None:
        self._transport.unregisterProducer()
        while self._waiting:
            self._write(self._waiting.popleft())
        self._transport.loseConnection()
        if self._cutting is None:
            self._cutting = self._reactor.callLater(LINGER, self._transport.abortConnection)

    # -- Twisted's side

    @property
    def _transport(self) -> Any:
        assert self._boxes is not None
        return self._boxes.transport

    def startReceivingBoxes(self, sender: BinaryBoxProtocol) -> None:
        """Twisted: the connection is there; with TLS it has not agreed on anything yet."""
        self._boxes = sender
        self._transport.registerProducer(self, True)
        if self._own is None and hasattr(self._transport, "setTcpNoDelay"):
            self._transport.setTcpNoDelay(True)  # Twisted leaves it off, and a grant would wait 40 ms for more to send
        self._visitor = self._door.came_in(self, self._own)
        if self._visitor is None:
            self.end()

    def ampBoxReceived(self, box: AmpBox) -> None:
        """Twisted: a whole box."""
        self.unboxed = 0
        visitor = self._visitor
        if visitor is None or visitor.over:
            return
        try:
            packed = self._assembler.add(box)
        except NotAFrame as error:
            visitor.broken(f"what came is no frame: {error}")
            return
        if packed is not None:
            visitor.received(packed)

    def flooded(self) -> bool:
        """More came without a whole box than any of ours is long, or than may come before a login."""
        return self.unboxed > self._assembler.limit + _OVERHEAD

    def too_long(self) -> None:
        """What came is no box, or one without end."""
        if self._visitor is not None:
            self._visitor.broken("what came is no AMP, or a box without end")

    def stopReceivingBoxes(self, _reason: Any) -> None:
        """Twisted: the connection is gone."""
        if self._cutting is not None and self._cutting.active():
            self._cutting.cancel()
        if self._visitor is not None:
            self._visitor.gone()

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


class _Boxes(BinaryBoxProtocol):
    """Twisted's protocol, which keeps no more than one box of ours can be."""

    def __init__(self, peer: AMPPeer) -> None:
        super().__init__(peer)
        self._peer = peer

    def dataReceived(self, data: bytes) -> None:
        self._peer.unboxed += len(data)
        super().dataReceived(data)
        if self._peer.flooded():
            self._peer.too_long()

    def lengthLimitExceeded(self, length: int) -> None:
        self._peer.too_long()

    def unhandledError(self, failure: Any) -> None:
        log.error("agent_connection_failed", error=failure.getErrorMessage())
        self._peer.too_long()


class AddressTaken(Exception):
    """Nobody can be listened for, now: most often another process does, such as this master's former one."""


class AMPListener:
    """Listens from `start` to `stop`."""

    def __init__(
        self, reactor: Any, address: ListenAddress, door: Door, folder: Path, tls: TLSSettings | None = None
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._door = door
        self._folder = folder
        self._tls = tls
        self._port: Any = None
        self._own_port: Any = None
        self._own_path = contextlib.ExitStack()
        #: SHA-256 of the certificate in hexadecimal digits; None without TLS
        self.fingerprint: str | None = None

    @property
    def port(self) -> int:
        """The one that is listened on, where 0 was asked for."""
        return int(self._port.getHost().port)

    def start(self) -> None:
        """Raises `AddressTaken`, and `BadSettings` for an address or a certificate that cannot be used."""
        factory = self._factory()
        interface = _interface(self._address.host)
        try:
            if self._address.tls:
                options, self.fingerprint = server_options(self._folder, self._tls)
                self._port = self._reactor.listenSSL(self._address.port, factory, options, interface=interface)
            else:
                self._port = self._reactor.listenTCP(self._address.port, factory, interface=interface)
        except CannotListenError as error:
            raise AddressTaken(f"cannot listen at {self._address.listener}: {error.socketError}") from None
        log.info("agents_listened_for", address=self._address.listener, port=self.port,
                 fingerprint=self.fingerprint and f"sha256:{self.fingerprint}")  # fmt: skip
        self._listen_here()

    def _listen_here(self) -> None:
        """For this user's own commands, who needs no account."""
        try:
            remove_stale(self._folder)
            path = self._own_path.enter_context(short_path(self._folder))
            self._own_port = self._reactor.listenUNIX(path, self._factory(OWN_OPERATOR), mode=0o600)
        except (OSError, CannotListenError) as error:
            log.warning(
                "own_socket_not_made",
                path=str(self._folder / SOCKET_FILE),
                reason=str(error),
                effect="commands with --master-dir cannot look at this fleet; those with an account can",
            )

    def _factory(self, own: KnownAgent | None = None) -> protocol.Factory:
        factory = protocol.Factory.forProtocol(lambda: _Boxes(AMPPeer(self._reactor, self._door, own)))
        factory.noisy = False  # Twisted's lines about factories mean nothing to anybody
        return factory

    def stop(self) -> Any:
        """Fires when nobody is listened for any more."""
        ports = [port for port in (self._own_port, self._port) if port is not None]
        stopped = defer.DeferredList([defer.maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)
        return stopped.addBoth(lambda _: self._closed())

    def _closed(self) -> None:
        """Where the socket's file was gone before, with its folder, Twisted has failed half-way."""
        left = getattr(self._own_port, "socket", None)
        if left is not None:
            left.close()
        self._own_path.close()


def _interface(host: str) -> str:
    """The host's first address, which Twisted listens on. Raises `BadSettings`."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise BadSettings(f"url: {host!r} is no address of this machine: {error}") from None
