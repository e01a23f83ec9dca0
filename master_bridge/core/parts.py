"""The parts of the bridge's machine, for what leads from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from master_bridge.core.context import Context
from master_bridge.core.holding import Holding
from master_bridge.core.placing import Placing
from master_bridge.core.presence import Presence
from master_bridge.core.rollcall import NotedSessions
from master_bridge.core.states import State

#: told of each cue: the request, its state before, the cue's class, and its state after
Watch = Callable[[str, State, type, State], None]


def _nobody(*_: Any) -> None:
    """Watches."""


@dataclass(kw_only=True)
class Parts:
    """The parts of the bridge's core, for those that hand a message or an alarm to one of them."""

    context: Context
    roll: NotedSessions
    placing: Placing
    holding: Holding
    presence: Presence
    #: for tests: does what happens stand in the table?
    watch: Watch = field(default=_nobody)

    def state(self, request: str) -> State:
        work = self.placing.works.get(request)
        return State.NONE if work is None else work.state
