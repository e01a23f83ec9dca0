"""Ports that agents come to, on Twisted."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import CannotListenError

from contracts.operations.office_url import ListenAddress
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.door import AddressTaken


def listen_tcp(reactor: Any, address: ListenAddress, factory: Any, tls: Any = None) -> Any:
    """Twisted's port. `tls`: its options, with which it listens by TLS. Raises `AddressTaken` and `BadSettings`."""
    interface = _interface(address.host)
    try:
        if tls is not None:
            return reactor.listenSSL(address.port, factory, tls, interface=interface)
        return reactor.listenTCP(address.port, factory, interface=interface)
    except CannotListenError as error:
        raise AddressTaken(f"cannot listen at {address.listener}: {error.socketError}") from None


def _interface(host: str) -> str:
    """The host's first address, which Twisted listens on. Raises `BadSettings`."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise BadSettings(f"url: {host!r} is no address of this machine: {error}") from None
