"""Listens for agents that come by ZeroMQ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
import zmq
from twisted.internet import defer, protocol

from contracts.operations.office_url import ListenAddress
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.connected_peer import LINGER
from master_bridge.link.office.door import Door
from master_bridge.link.office.listening import listen_tcp
from master_bridge.link.office.zeromq.curve import server_keys
from master_bridge.link.office.zeromq.peer import ZMQPeer
from master_bridge.link.office.zeromq.router import ZMQRouter
from master_bridge.link.office.zeromq.socket_folder import SocketFolder

log = structlog.get_logger(__name__)

#: Seconds for what was sent last to leave when the master stops.
STOP_LINGER = 1.0


class ZMQListener:
    """Listens from `start` to `stop`."""

    def __init__(self, reactor: Any, address: ListenAddress, door: Door, folder: Path) -> None:
        self.reactor = reactor
        self.door = door
        self._address = address
        self._folder = folder
        self._port: Any = None
        self._sockets: SocketFolder | None = None
        self._numbers = 0
        self._router: ZMQRouter | None = None
        self._over: defer.Deferred[None] | None = None
        self.peers: set[ZMQPeer] = set()
        #: the master's public key in hexadecimal digits
        self.server_key = ""

    @property
    def port(self) -> int:
        """The one that is listened on, where 0 was asked for."""
        return int(self._port.getHost().port)

    @property
    def router(self) -> ZMQRouter:
        """Between `start` and `stop`."""
        assert self._router is not None
        return self._router

    def socket_path(self, number: int) -> str:
        """Of the local socket between a connection and the ROUTER."""
        assert self._sockets is not None
        return self._sockets.path(number)

    def start(self) -> None:
        """Raises `AddressTaken`, and `BadSettings` for an address or a key that cannot be used."""
        self.server_key, secret = server_keys(self._folder)
        factory = protocol.Factory.forProtocol(self._next)
        factory.noisy = False  # Twisted's lines about factories mean nothing to anybody
        self._port = listen_tcp(self.reactor, self._address, factory)
        try:
            self._sockets = SocketFolder(self._folder)
            self._router = ZMQRouter(self.reactor, secret, self.door.knows_key)
        except (OSError, zmq.ZMQError) as error:
            self._port.stopListening()
            if self._sockets is not None:
                self._sockets.close()
            raise BadSettings(f"url: zmq:// cannot be used here: {error}") from None
        log.info("agents_listened_for", address=self._address.listener, port=self.port, serverkey=self.server_key)

    def _next(self) -> protocol.Protocol:
        self._numbers += 1
        return ZMQPeer(self, self._numbers).protocol

    def known(self, peer: ZMQPeer) -> None:
        """A connection is there."""
        self.peers.add(peer)

    def forget(self, peer: ZMQPeer) -> None:
        """A connection is gone."""
        self.peers.discard(peer)
        if not self.peers and self._over is not None and not self._over.called:
            self._over.callback(None)

    @defer.inlineCallbacks
    def stop(self) -> Any:
        """Fires when nobody is listened for any more; what was said last has a second to leave."""
        if self._router is None:
            return
        yield defer.maybeDeferred(self._port.stopListening)
        for linger in (STOP_LINGER, LINGER):
            if self.peers:
                self._over = defer.Deferred()
                timer = self.reactor.callLater(linger, self._over.callback, None)
                yield self._over
                if timer.active():
                    timer.cancel()
            for peer in list(self.peers):
                peer.cut()
        yield self._router.close()
        if self._sockets is not None:
            self._sockets.close()
