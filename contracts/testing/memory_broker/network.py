"""TCP as AMQP clients meet it: ordered bytes with latency, links that are cut, heal, or are reset.

A cut link drops packets silently. TCP keeps what was sent and retransmits it after healing, so frames on a cut
link wait; whether either end gives up first is a matter of its heartbeat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from contracts.testing.clock import Timer, VirtualClock

Frame = tuple[float, Callable[..., object], tuple[Any, ...]]


class Direction:
    """One way of a TCP connection: frames arrive in order, each `latency()` seconds or more after it was sent."""

    __slots__ = ("_clock", "_frames", "_holds", "_last", "_latency", "_timer")

    def __init__(self, clock: VirtualClock, latency: Callable[[], float]) -> None:
        self._clock = clock
        self._latency = latency
        self._frames: deque[Frame] = deque()
        self._last = 0.0
        self._timer: Timer | None = None
        self._holds: set[str] = set()

    def send(self, frame: Callable[..., object], *args: Any, extra: float = 0.0) -> None:
        """`frame(*args)` at the other end, in order, after the latency and `extra` seconds."""
        at = max(self._last, self._clock.now + self._latency() + extra)
        self._last = at
        self._frames.append((at, frame, args))
        self._arm()

    def hold(self, why: str) -> None:
        """Nothing arrives any more (cut link, a peer that does not read), until `release` of the same `why`."""
        self._holds.add(why)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def release(self, why: str) -> None:
        """What was held for this reason goes on its way, unless another reason holds it."""
        self._holds.discard(why)
        self._arm()

    def drop(self) -> int:
        """Forget what is under way; says how many frames that were."""
        count = len(self._frames)
        self._frames.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return count

    def _arm(self) -> None:
        if self._timer is None and self._frames and not self._holds:
            self._timer = self._clock.call_at(self._frames[0][0], self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._clock.now
        frames = self._frames
        while frames and not self._holds and frames[0][0] <= now:
            _, frame, args = frames.popleft()
            frame(*args)
        self._arm()
