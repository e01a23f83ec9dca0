"""Confirms that never come, though the connection lives: noticed, so that the link begins anew and publishes again.

A quorum queue that loses its leader can swallow what a channel had sent to the old one, and all that the channel sends
after it: no confirm, no refusal, no closed channel (RabbitMQ 3.10.8, agents that reconnect while the cluster elects;
builds stood still for as long as anybody looked). A new channel is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from contracts.timing import CONFIRM_LAST_PATIENCE, CONFIRM_PATIENCE


class ConfirmWatch:
    """`oldest` says when (event loop's seconds) the oldest unanswered publication was sent; None: all are answered.

    `ask` is answered by the broker in turn, after all that was published before it on the same channel. So a slow line,
    a broker that blocks its publishers, and one that has much to deliver on that channel are waited for. `end` is given
    the reason, for people.
    """

    def __init__(
        self, *, oldest: Callable[[], float | None], ask: Callable[[], Awaitable[None]], end: Callable[[str], None]
    ) -> None:
        self._oldest = oldest
        self._ask = ask
        self._end = end

    async def run(self) -> None:
        """Until cancelled, or `end` was called. Raises what `ask` raises."""
        clock = asyncio.get_running_loop().time
        while True:
            since = self._oldest()
            patience = CONFIRM_PATIENCE if since is None else since + CONFIRM_PATIENCE - clock()
            if since is None or patience > 0:
                # What is sent meanwhile is no older than that then: an idle agent is not woken twice a second.
                await asyncio.sleep(patience)
                continue
            await self._ask()
            await asyncio.sleep(CONFIRM_LAST_PATIENCE)
            if self._oldest() == since:
                self._end(f"the broker has taken a publication and not confirmed it for {clock() - since:.0f} s")
                return
