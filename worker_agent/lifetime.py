"""When the agent leaves by itself: idle for too long, after a build, up for too long. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.messages import SlotStatus


class Lifetime:
    """Asked after each input; `reason` is set once the agent should drain."""

    def __init__(self, *, now: float, after_idle: float | None, after_build: bool, max_uptime: float | None) -> None:
        """Times in seconds; None: never."""
        self._began = now
        self._after_idle = after_idle
        self._after_build = after_build
        self._max_uptime = max_uptime
        self._idle_since: float | None = now
        self.reason: str | None = None

    def look(self, slots: Iterable[SlotStatus], now: float) -> bool:
        """True when it is time to drain now, and was not before."""
        if self.reason is not None:
            return False
        states = {slot.state for slot in slots}
        # A claim that was refused is no work done, but it is not idling either.
        self._idle_since = (self._idle_since or now) if states <= {"idle", "aside"} else None
        if self._after_build and "held" in states:
            # Not after its end: by then the next one would be in hand.
            self.reason = "one build was asked for"
        elif self._max_uptime is not None and now - self._began >= self._max_uptime:
            self.reason = f"up for {self._max_uptime:g} s"
        elif self._after_idle is not None and self._idle_for(now) >= self._after_idle:
            self.reason = f"idle for {self._after_idle:g} s"
        return self.reason is not None

    def _idle_for(self, now: float) -> float:
        return 0.0 if self._idle_since is None else now - self._idle_since

    @property
    def deadline(self) -> float | None:
        """When to look again, at the latest."""
        if self.reason is not None:
            return None
        due = []
        if self._max_uptime is not None:
            due.append(self._began + self._max_uptime)
        if self._after_idle is not None and self._idle_since is not None:
            due.append(self._idle_since + self._after_idle)
        return min(due, default=None)
