"""What is left of an agent whose main process was killed: what it held is ended, and its masters are told.

Unless another main process has come meanwhile: it waits for the state folder then, and takes up what runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from worker_agent.agent.ending import EndReason
from worker_agent.agent.loop import Agent
from worker_agent.agent.parts import Inbox
from worker_agent.core import inputs

log = structlog.get_logger(__name__)

#: Seconds for the link to come up. Without it what runs is ended all the same, and its master waits for its grace.
LINK_WITHIN = 5.0
WHY = "the agent's main process was killed"


class GivingBack(Agent):
    """Takes nothing. As soon as its link is up, or late, it ends what an earlier process left, and itself.

    It looks for a successor as late as it can: both begin at about the same time, and a link takes this one longer.
    """

    async def _start(self, recovered: Sequence[inputs.Recovered]) -> None:
        self._begin(recovered)
        log.info("giving_back", sessions=len(recovered), reason=WHY)
        self._feed(inputs.Pause(reason=WHY))
        self._loop.call_later(LINK_WITHIN, self._put, self._link_is_late)

    def _take(self, what: Inbox) -> None:
        super()._take(what)
        if isinstance(what, inputs.LinkUp):
            self._give_back(WHY)

    def _link_is_late(self) -> None:
        self._give_back(f"{WHY}, and no link came up")

    def _give_back(self, reason: str) -> None:
        if self._instance.wanted:
            log.info("nothing_given_back", reason="another main process has come, which takes it up")
            self._finish(EndReason.RESTART)
        else:
            self._leave(inputs.Stop(reason=reason))
