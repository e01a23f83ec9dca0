"""Ports that agents come to, on Twisted."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import CannotListenError, ConnectionDone

from contracts.operations.office_url import ListenAddress
from master_bridge.link.errors import BadSettings
from master_bridge.link.office.door import AddressTaken


def closed_by_other(reason: Any, transport: Any) -> bool:
    """Did this TCP connection end because the other side's kernel closed it in order: neither reset nor by us?"""
    return reason.check(ConnectionDone) is not None and not transport.disconnecting


def listen_tcp(reactor: Any, address: ListenAddress, factory: Any) -> Any:
    """Twisted's port. Raises `AddressTaken` and `BadSettings`."""
    interface = _interface(address.host)
    try:
        return reactor.listenTCP(address.port, factory, interface=interface)
    except CannotListenError as error:
        raise AddressTaken(f"cannot listen at {address.listener}: {error.socketError}") from None


def _interface(host: str) -> str:
    """The host's first address, which Twisted listens on. Raises `BadSettings`."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise BadSettings(f"url: {host!r} is no address of this machine: {error}") from None
