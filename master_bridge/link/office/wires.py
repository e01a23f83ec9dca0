"""Which wires a master's URL means: all of its listeners."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from contracts.operations.office_url import SSH, ZMQ, ListenAddress
from master_bridge.link.office.amp import AMPListener
from master_bridge.link.office.door import Door
from master_bridge.link.office.local_door import LocalListener
from master_bridge.link.office.own_listener import OwnListener
from master_bridge.link.settings import TLSSettings


class Listener(Protocol):
    """Listens from `start` to `stop`."""

    def start(self) -> None:
        """Raises `AddressTaken`, and `BadSettings` for an address, a certificate or a key that cannot be used."""

    def stop(self) -> Any:
        """Fires when nobody is listened for any more."""


def listeners_of(
    reactor: Any, address: ListenAddress, door: Door, folder: Path, tls: TLSSettings | None
) -> list[Listener]:
    """Those that find out whether another process is this master come first."""
    own = OwnListener(reactor, door, folder)
    if address.wire == SSH:
        return [LocalListener(reactor, door, folder), own]
    return [listener_of(reactor, address, door, folder, tls), LocalListener(reactor, door, folder, needed=False), own]


def listener_of(reactor: Any, address: ListenAddress, door: Door, folder: Path, tls: TLSSettings | None) -> Listener:
    """What listens at a port of the URL's."""
    if address.wire == ZMQ:
        from master_bridge.link.office.zeromq.listener import (
            ZMQListener,
        )  # pyzmq, which masters with other wires do without

        return ZMQListener(reactor, address, door, folder)
    return AMPListener(reactor, address, door, folder, tls)
