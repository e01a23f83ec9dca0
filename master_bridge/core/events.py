"""One session's events: in order, once each, acknowledged when stored (rule 13).

delivery ──► seen before ──────────────► drop, say `stored` soon
        ├──► of a command that Buildbot
        │    has not started (yet) ────► drop, replay when it has
        ├──► after a gap ──────────────► drop, replay (at most once a second)
        └──► the next ─────────────────► to Buildbot, held until stored
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from contracts.messages import Event
from contracts.timing import STORED_EVERY_BYTES

Place = Literal["seen", "early", "gap", "next"]


@dataclass
class EventOrder:
    """Up to where a session's events were handed to Buildbot, stored by it, and told to the agent."""

    delivered: int = 0
    stored: int = 0
    #: (seq, delivery or None when its link is gone, bytes) of what Buildbot has not stored yet
    held: deque[tuple[int, int | None, int]] = field(default_factory=deque)
    #: bytes stored since the agent was told
    unreported: int = 0
    #: an event was dropped because its command was not started, or the session not attached
    dropped: bool = False
    #: no replay is asked for before (monotonic seconds)
    replay_after: float = float("-inf")

    def place(self, event: Event, *, open_: bool) -> Place:
        """Where `event` stands; `open_`: Buildbot has started its command."""
        if event.seq <= self.delivered:
            return "seen"
        if not open_:
            self.dropped = True
            return "early"
        if event.seq > self.delivered + 1:
            return "gap"
        return "next"

    def deliver(self, event: Event, delivery: int) -> None:
        """`event` is the next; it goes to Buildbot now."""
        self.delivered = event.seq
        self.held.append((event.seq, delivery, len(event.data)))

    def store(self, seq: int) -> tuple[list[int], bool]:
        """Buildbot has stored up to `seq`: deliveries to acknowledge, and whether the agent must be told at once."""
        done: list[int] = []
        while self.held and self.held[0][0] <= seq:
            _, delivery, size = self.held.popleft()
            self.unreported += size
            if delivery is not None:
                done.append(delivery)
        self.stored = max(self.stored, min(seq, self.delivered))
        return done, self.unreported >= STORED_EVERY_BYTES

    def void(self) -> None:
        """The link is gone: its deliveries cannot be acknowledged any more (they come again, as seen ones)."""
        self.held = deque((seq, None, size) for seq, _, size in self.held)

    def drain(self) -> list[int]:
        """The session is over: the deliveries that are still held."""
        done = [delivery for _, delivery, _ in self.held if delivery is not None]
        self.held.clear()
        return done
