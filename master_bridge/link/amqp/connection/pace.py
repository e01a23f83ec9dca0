"""Reads a connection in turns: what comes within a fifth of a second is read together.

A thousand agents tell 200 statuses a second, one by one. Each alone wakes the process, and finds its code and data out
of the processor's caches: 300 µs. Of those that are read together each takes 60.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

#: Seconds for which nothing is read after something was: what came late is that much later.
PAUSE = 0.2
#: Seconds in which more is waited for …
MORE = 0.005
#: … and bytes in them of which more follow: reading goes on.
MUCH = 32 * 1024


class Pace:
    """Of one transport. What comes after a silence is read at once, and a silence takes no time of the processor.

    What is not read waits in the kernel, then at the broker, whose queue is bounded.
    """

    def __init__(self, transport: Any, clock: IReactorTime) -> None:
        self._transport = transport
        self._clock = clock
        self._timer: Any = None
        self._received = 0

    def received(self, size: int) -> None:
        """So many bytes came."""
        self._received += size
        if self._timer is None:
            self._timer = self._clock.callLater(MORE, self._look)

    def end(self) -> None:
        """All is read as it comes, as long as nothing is `received`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._transport.resumeProducing()

    def _look(self) -> None:
        received, self._received = self._received, 0
        if received >= MUCH:
            self._timer = self._clock.callLater(MORE, self._look)
        else:
            self._transport.pauseProducing()
            self._timer = self._clock.callLater(PAUSE, self._resume)

    def _resume(self) -> None:
        self._timer = None
        self._transport.resumeProducing()
