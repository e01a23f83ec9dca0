"""Agents that come by AMP, with TLS unless it was turned off: Twisted's own boxes and listeners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from twisted.internet import defer, protocol
from twisted.protocols.amp import AmpBox, BinaryBoxProtocol

from contracts.frames.amp import Assembler, boxes_of
from contracts.frames.both_ends import Ends, both_ends
from contracts.frames.codec import NotAFrame, Packed
from contracts.operations.office_url import ListenAddress
from master_bridge.link.office.accounts import Certified, KnownAgent
from master_bridge.link.office.certificates import by_tls, name_of, server_options
from master_bridge.link.office.connected_peer import ConnectedPeer
from master_bridge.link.office.door import Door
from master_bridge.link.office.listening import closed_by_other, listen_tcp
from master_bridge.link.settings import TLSSettings

log = structlog.get_logger(__name__)

#: Bytes of a box that are lengths and keys.
_OVERHEAD = 64


class AMPPeer(ConnectedPeer):
    """One connection: a `Peer` for the door, and a receiver of boxes for Twisted."""

    def __init__(self, reactor: Any, door: Door, own: KnownAgent | None = None) -> None:
        super().__init__(reactor, door)
        self._own = own
        self._boxes: BinaryBoxProtocol | None = None
        self._assembler = Assembler()
        #: bytes that came since the last whole box: a box may have many keys, of which Twisted keeps all
        self.unboxed = 0

    # -- the door's side

    @property
    def host(self) -> str:
        return str(getattr(self._transport.getPeer(), "host", "this machine"))

    @property
    def certified(self) -> Certified | None:
        certificate = getattr(self._transport, "getPeerCertificate", lambda: None)()
        name = None if certificate is None else name_of(certificate)
        return None if name is None else Certified(user=name, by="certificate")

    @property
    def ends(self) -> Ends | None:
        other, own = self._transport.getPeer(), self._transport.getHost()
        if self._own is not None:
            return None
        return both_ends((other.host, other.port), (own.host, own.port))

    def limit(self, size: int) -> None:
        self._assembler.limit = size

    def _write(self, packed: Packed) -> None:
        assert self._boxes is not None
        for box in boxes_of(packed):
            self._boxes.sendBox(AmpBox(box))

    # -- Twisted's side

    @property
    def _transport(self) -> Any:
        assert self._boxes is not None
        return self._boxes.transport

    def startReceivingBoxes(self, sender: BinaryBoxProtocol) -> None:
        """Twisted: the connection is there; with TLS it has not agreed on anything yet."""
        self._boxes = sender
        self._connected()
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

    def stopReceivingBoxes(self, reason: Any) -> None:
        """Twisted: the connection is gone."""
        # TLS, if there is any, has made its own reason of what TCP said
        ended = getattr(self._transport, "ended", None)
        self._lost(ended=closed_by_other(reason, self._transport) if ended is None else ended)


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


def amp_factory(reactor: Any, door: Door, own: KnownAgent | None = None) -> protocol.Factory:
    """For Twisted's listeners. `own`: whose all connections are, where the way tells it."""
    factory = protocol.Factory.forProtocol(lambda: _Boxes(AMPPeer(reactor, door, own)))
    factory.noisy = False  # Twisted's lines about factories mean nothing to anybody
    return factory


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
        #: SHA-256 of the certificate in hexadecimal digits; None without TLS
        self.fingerprint: str | None = None

    @property
    def port(self) -> int:
        """The one that is listened on, where 0 was asked for."""
        return int(self._port.getHost().port)

    def start(self) -> None:
        """Raises `AddressTaken`, and `BadSettings` for an address or a certificate that cannot be used."""
        factory = amp_factory(self._reactor, self._door)
        if self._address.tls:
            options, self.fingerprint = server_options(self._folder, self._tls)
            factory = by_tls(options, factory)
        self._port = listen_tcp(self._reactor, self._address, factory)
        log.info("agents_listened_for", address=self._address.listener, port=self.port,
                 fingerprint=self.fingerprint and f"sha256:{self.fingerprint}")  # fmt: skip

    def stop(self) -> Any:
        """Fires when nobody is listened for any more."""
        return defer.maybeDeferred(self._port.stopListening) if self._port is not None else defer.succeed(None)
