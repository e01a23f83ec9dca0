"""All that makes Buildbot call its database less often, and changes nothing that is stored."""

from __future__ import annotations

from typing import Any

from master_bridge.buildbot.internals.appended_logs import AppendedLogs
from master_bridge.buildbot.internals.build_properties import BuildProperties
from master_bridge.buildbot.internals.unheard_events import UnheardEvents
from master_bridge.buildbot.internals.waiting_builders import WaitingBuilders


class FewerCalls:
    """Of one master: `keep`, and `release` before its database is closed."""

    def __init__(self) -> None:
        self._parts = (AppendedLogs(), BuildProperties(), UnheardEvents(), WaitingBuilders())

    def keep(self, master: Any) -> None:
        """Until `release`; no more than once."""
        for part in self._parts:
            part.keep(master)

    def release(self) -> None:
        """Buildbot's own way from now on."""
        for part in self._parts:
            part.release()
