"""What the machine reads a session's events from. The keeper writes; the machine only reads."""

from __future__ import annotations

from typing import Protocol

from contracts.messages import Event


class JournalReader(Protocol):
    """Events of all sessions of this agent, by sequence number."""

    def read(self, session: str, seq: int) -> Event | None:
        """Event `seq` of `session`; None when it is not written yet, or was trimmed away."""


class MemoryJournal:
    """A journal in memory, for unit tests and the simulator."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}

    def append(self, event: Event) -> None:
        """Raises ValueError where a number is missing before it."""
        events = self.events.setdefault(event.session, [])
        if event.seq != len(events) + 1:
            raise ValueError(f"event {event.seq} of {event.session} does not follow {len(events)}")
        events.append(event)

    def remove(self, session: str) -> None:
        """All of a session."""
        self.events.pop(session, None)

    def read(self, session: str, seq: int) -> Event | None:
        """Event `seq`; None: there is none."""
        events = self.events.get(session, [])
        return events[seq - 1] if 1 <= seq <= len(events) else None

    def last_seq(self, session: str) -> int:
        """0: there is none."""
        return len(self.events.get(session, []))
