"""What a master does regularly, for ever, and what it does once for many who ask.

Of what is done regularly an error is said when it is another one, and the next time comes anyway.

`LoopingCall` ends with the first error. A catalogue that is never told again, or waiting builds that nobody looks at
any more, would be noticed days later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet import defer, task
from twisted.python.failure import Failure

log = structlog.get_logger(__name__)


def regularly(reactor: Any, seconds: float, name: str, work: Callable[[], Any]) -> task.LoopingCall:
    """Do `work` (it may return a Deferred) every `seconds` seconds, first after so many; until the call is stopped."""
    said = ""

    def failed(failure: Failure) -> None:
        nonlocal said
        text = f"{failure.type.__name__}: {failure.getErrorMessage()}"
        if text != said:
            said = text
            log.error("amqp.part_failed", part=name, reason=failure.getTraceback(), retry=f"in {seconds:g} s")

    def well(_result: object) -> None:
        nonlocal said
        said = ""

    def once() -> defer.Deferred[None]:
        return defer.maybeDeferred(work).addCallbacks(well, failed)

    timer = task.LoopingCall(once)
    timer.clock = reactor
    timer.start(seconds, now=False)
    return timer


class Soon:
    """Does `work` once for all who ask within `delay` seconds of one another, `latest` seconds after the first."""

    def __init__(self, delay: float, latest: float, work: Callable[[], None]) -> None:
        self._delay, self._latest, self._work = delay, latest, work
        self._call: Any = None
        self._by = 0.0

    def ask(self, reactor: Any) -> None:
        now = reactor.seconds()
        if self._call is None or not self._call.active():
            self._by = now + self._latest
            self._call = reactor.callLater(self._delay, self._work)
        elif now + self._delay <= self._by:
            self._call.reset(self._delay)

    def cancel(self) -> None:
        """Who has asked is not served."""
        if self._call is not None and self._call.active():
            self._call.cancel()
