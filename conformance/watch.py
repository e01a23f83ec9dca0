"""What holds for every message of every scene: looked at as it comes, whatever the scene is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.session import Session
from contracts import topology
from contracts.errors import BadMessage, BadName
from contracts.messages import Accept, Claim, Event, Gone, Message, Resume
from contracts.timing import EVENT_DATA_MAX, FILE_DATA_MAX, WINDOW_BYTES, WINDOW_EVENTS


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Of requirement `id`, found in passing."""

    id: str
    what: str
    message: Message | None = None


class Watch:
    """Collects violations. One for a run of the kit."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def add(self, id: str, what: str, message: Message | None = None) -> None:
        """A requirement is broken, by this message; it is told once, when that requirement's turn comes."""
        self.violations.append(Violation(id=id, what=what, message=message))

    def unreadable(self, error: BadMessage, routing_key: str) -> None:
        """A message that no reader of the protocol understands."""
        self.add("messages.valid", f"a message under {routing_key!r} is not of the protocol: {error}")

    def reply(self, message: Message, routing_key: str, properties: Any) -> None:
        """Where it was published, and under whose name."""
        words = routing_key.split(".")
        place = "events" if message.has_data or type(message).__name__ == "Pull" else "claims"
        if len(words) != 3 or words[2] != place:
            self.add("messages.routing", f"published under {routing_key!r}, not <user>.<master>.{place}", message)
            return
        if isinstance(message, (Claim, Resume, Accept, Gone)):
            try:
                user = topology.address_user(message.address)
            except BadName as error:
                self.add("messages.routing", str(error), message)
                return
            if user != words[0]:
                what = f"published under {routing_key!r}, but its address {message.address} is user {user}'s"
                self.add("messages.routing", what, message)
        if properties.type != getattr(message, "t", None):
            self.add("messages.properties", f"AMQP property type is {properties.type!r}", message)
        if place == "claims" and properties.delivery_mode != 2:
            self.add("messages.properties", "not persistent: a broker's restart would lose it", message)

    def event(self, session: Session, event: Event) -> None:
        """Before it is noted in `session`."""
        known = session.events.get(event.seq)
        say: Callable[[str, str], None] = lambda id, what: self.add(id, what, event)  # noqa: E731
        if known is not None:
            if (known.n, known.kind, known.value, known.data) != (event.n, event.kind, event.value, event.data):
                say("journal.replay", f"event {event.seq} came again as another one")
            return
        highest = max(session.events, default=0)
        if event.seq > highest + 1:
            say("events.numbered", f"event {event.seq} follows event {highest}")
        most = FILE_DATA_MAX if event.kind == "write" else EVENT_DATA_MAX
        if len(event.data) > most:
            say("events.size", f"{len(event.data)} bytes in one event, {most} are allowed")
        unstored = [other for seq, other in session.events.items() if seq > session.stored]
        size = sum(len(other.data) for other in unstored) + len(event.data)
        number = len(unstored) + 1
        if size > WINDOW_BYTES and number > 1:
            say("events.window", f"{size} bytes in {number} events are under way and not stored")
        if number > WINDOW_EVENTS:
            say("events.small", f"{number} events are under way and not stored")
        self._frame(session, event, say)

    def _frame(self, session: Session, event: Event, say: Callable[[str, str], None]) -> None:
        earlier = session.of(event.n)
        if not earlier and event.kind != "started":
            say("events.order", f"the first event of command {event.n} is {event.kind!r}, not 'started'")
        if earlier and event.kind == "started":
            say("events.order", f"command {event.n} starts a second time")
        if any(other.kind == "completed" for other in earlier):
            say("events.order", f"{event.kind!r} of command {event.n} comes after its completion")
        if event.kind == "started":
            command = session.started.get(event.n)
            value = event.value if isinstance(event.value, dict) else {}
            if command is not None and (value.get("name"), value.get("digest")) != (command.name, command.digest):
                say("events.order", f"'started' of command {event.n} does not carry its name and digest")
        if session.offer.kind == "build" and event.n not in session.started:
            say("journal.gate", f"an event of command {event.n}, which this incarnation has not started")
