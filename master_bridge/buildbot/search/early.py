"""A build's search for an agent before Buildbot asks for one.

    startBuild: build id ──► properties, preparation step, events (some 50 ms of database) ──► start_instance
                   └─────► offer, claim, grant, accept (some 10 ms) ──► the agent is there ──────┘

Source: buildbot/process/builder.py `_startBuildFor`, process/build.py `startBuild`. Buildbot waits for locks before
(the distributor) or after (the build) these calls, so the agent is not held for the sake of a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from contracts.requirements.sets import Requirements
from master_bridge.buildbot.client import Client
from master_bridge.buildbot.internals.builds import comes_to_nothing, once_numbered
from master_bridge.buildbot.search.slot import Slot

#: Builds of a master that look for agents early at a time. Where more start at once they wait for the master's
#: database, and agents that had come early would stand idle, also for other masters.
CROWD = 8


def crowded(clients: Iterable[Client]) -> bool:
    """Do enough of the bridge's clients look for an agent, or have one, that Buildbot has not asked for?"""
    return sum(isinstance(client, Slot) and not client.begun for client in clients) >= CROWD


class EarlySearch:
    """Of `build`, from the moment on in which it has its id: until `take`, or `end` for a build that comes to nothing.

    `slot_of(build)` makes its slot; None: not now.
    """

    def __init__(self, build: Any, reactor: Any, slot_of: Callable[[Any], Slot | None]) -> None:
        self._build = build
        self._slot_of = slot_of
        self._slot: Slot | None = None
        self._over = False
        once_numbered(build, reactor, self._seek)

    def take(self, build: Any) -> Slot | None:
        """The slot that looks for an agent for `build`, or has one; None: there is none (any more)."""
        if build is not self._build:
            self.end()
            return None
        self._over = True
        slot, self._slot = self._slot, None
        return slot if slot is not None and not slot.over else None

    def end(self) -> None:
        """Give back what was sought or found."""
        self._over = True
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.leave()

    def reroute(self, requirements: Requirements, seal: bool = False) -> None:
        """The configuration changed while it looks."""
        if self._slot is not None:
            self._slot.reroute(requirements, seal)

    def _seek(self) -> None:
        build = self._build
        if self._over or comes_to_nothing(build):
            return
        slot = self._slot_of(build)
        if slot is not None:
            slot.seek()
            self._slot = slot
