"""Confirms that never come, though the connection lives: noticed, so that the link begins anew and publishes again.

A quorum queue that loses its leader can swallow what a channel publishes to it, from then on and without a word
(RabbitMQ 3.10.8, seen at agents that reconnected while the cluster elected). An offer swallowed so would be a build
that waits for ever. A new channel is well, and at each link-up the machine offers again what waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import defer

from contracts.timing import CONFIRM_LAST_PATIENCE, CONFIRM_LOOK, CONFIRM_PATIENCE


class ConfirmWatch:
    """`oldest` says when (seconds of the reactor) the oldest unanswered publication was sent; None: all are answered.

    `ask` is answered by the broker in turn, after all that was published before it. So a slow line, and a broker that
    blocks its publishers, are waited for: it has not read what was sent. `end` is given the reason, for people.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        oldest: Callable[[], float | None],
        ask: Callable[[], defer.Deferred[Any]],
        end: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._oldest = oldest
        self._ask = ask
        self._end = end
        self._timer: Any = None
        self._over = False

    def start(self) -> None:
        """Look every few seconds whether confirms are overdue."""
        self._later(CONFIRM_LOOK, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._over = True
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _later(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        if not self._over:
            self._timer = self._reactor.callLater(seconds, what, *args)

    def _look(self) -> None:
        since = self._oldest()
        if since is None or self._reactor.seconds() - since < CONFIRM_PATIENCE:
            self._later(CONFIRM_LOOK, self._look)
            return
        # A failure means that the connection ends, of which others tell, and stop this.
        defer.maybeDeferred(self._ask).addCallbacks(
            lambda _: self._later(CONFIRM_LAST_PATIENCE, self._look_again, since),
            lambda _failure: self._later(CONFIRM_LOOK, self._look),
        )

    def _look_again(self, since: float) -> None:
        if self._oldest() == since:
            self.stop()
            waited = self._reactor.seconds() - since
            self._end(f"the broker has taken a publication and not confirmed it for {waited:.0f} s")
        else:
            self._later(CONFIRM_LOOK, self._look)
