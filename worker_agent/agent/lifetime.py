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
        self._holds = False
        #: what was held when an operator said that the agent is to stay
        self._pardoned = False
        self.reason: str | None = None

    def stay(self, now: float) -> None:
        """An operator wants it to go on: all times begin anew, and what is held now is no build to leave after."""
        self._began = now
        self._idle_since = now if self._idle_since is not None else None
        self._pardoned = self._holds
        self.reason = None

    def look(self, slots: Iterable[SlotStatus], now: float) -> bool:
        """True when it is time to drain now, and was not before."""
        states = {slot.state for slot in slots}
        # A claim that was refused is no work done, but it is not idling either.
        if states <= {"idle", "aside"}:
            self._idle_since = now if self._idle_since is None else self._idle_since
        else:
            self._idle_since = None
        self._holds = "held" in states
        self._pardoned = self._pardoned and self._holds
        if self.reason is not None:
            return False
        if self._after_build and self._holds and not self._pardoned:
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
