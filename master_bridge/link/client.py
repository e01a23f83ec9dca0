"""Whom the link reports to: the one side of the bridge that it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from contracts.messages import AnyMessage, FleetMessage


class LinkClient(Protocol):
    """Whom the link tells what happens. All calls come from the reactor's thread."""

    def link_up(self) -> None:
        """All is open, and what is for this master is read: over RabbitMQ its connections and the claims queue."""

    def link_down(self, reason: str) -> None:
        """The link is gone; deliveries and unconfirmed publishes are void."""

    def link_blocked(self, blocked: bool) -> None:
        """The broker takes nothing for now, for want of memory or disk; or does so again."""

    def link_stopped(self, reason: str) -> None:
        """The link will not be tried again (wrong settings, another master of our name)."""

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        """From the claims or events queue, of broker user `user`; to be answered by `Link.ack(delivery)`.

        `size`: bytes of its body and of its header `bb`.
        """

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        """Nobody was at the address `routing_key`."""

    def agent_died(self, address: str) -> None:
        """Whoever was at `address` has ended, with all of its processes that keep sessions."""

    def fleet_heard(self, message: FleetMessage) -> None:
        """A status, a catalogue, or what a master's requests do."""

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        """What broker user `user` sent could not be read or believed and went to `bb.dead`. True: say so in the log."""


@dataclass
class Listening:
    """The client of a link that outlives it. `who`: the one of now; None: nobody listens."""

    who: LinkClient | None

    def link_up(self) -> None:
        if self.who is not None:
            self.who.link_up()

    def link_down(self, reason: str) -> None:
        if self.who is not None:
            self.who.link_down(reason)

    def link_blocked(self, blocked: bool) -> None:
        if self.who is not None:
            self.who.link_blocked(blocked)

    def link_stopped(self, reason: str) -> None:
        if self.who is not None:
            self.who.link_stopped(reason)

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        if self.who is not None:
            self.who.message_received(delivery, message, user, size)

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        if self.who is not None:
            self.who.message_returned(message, routing_key)

    def agent_died(self, address: str) -> None:
        if self.who is not None:
            self.who.agent_died(address)

    def fleet_heard(self, message: FleetMessage) -> None:
        if self.who is not None:
            self.who.fleet_heard(message)

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        return self.who is None or self.who.message_sent_to_dead(reason, user)
