"""What a master does regularly, for ever: an error is said when it is another one, and the next time comes anyway.

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
