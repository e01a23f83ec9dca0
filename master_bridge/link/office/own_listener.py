"""Listens for the own commands of the master's user, at a socket in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog

from master_bridge.link.office.amp import amp_factory
from master_bridge.link.office.door import Door
from master_bridge.link.office.own_socket import OWN_OPERATOR, SOCKET_FILE, remove_stale
from master_bridge.link.office.socket_listener import SocketListener

log = structlog.get_logger(__name__)


class OwnListener(SocketListener):
    """From `start` to `stop`. Without it commands need an account; agents do not miss it."""

    def __init__(self, reactor: Any, door: Door, folder: Path) -> None:
        super().__init__(reactor, folder / SOCKET_FILE, amp_factory(reactor, door, OWN_OPERATOR))
        self._folder = folder

    def start(self) -> None:
        """Once it is certain that no other process is this master."""
        try:
            remove_stale(self._folder)
            super().start()
        except OSError as error:
            log.warning(
                "own_socket_not_made",
                path=str(self.path),
                reason=str(error),
                effect="commands with --master-dir cannot look at this fleet; those with an account can",
            )
