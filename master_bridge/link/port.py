"""What a bridge asks of a transport: the contract that each transport keeps. Whom it tells is `client.LinkClient`.

What holds for all of them is tested by one suite, `tests/transports`; how to write another is in
docs/how-to/add-a-transport.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from contracts.foreign import ForeignPeers
from contracts.messages import Catalogue, Message, Offer, Work

#: `BridgeLink.down_reason` until the first try came to something.
NOT_STARTED = "not started"


class BridgeLink(Protocol):
    """Up or down, and up again by itself, from `start` to `stop`. All calls come from the reactor's thread.

    What is published while it is down is void, and so is what was not confirmed when it goes down: the machine says
    again what counts at each link-up. In order: what goes to one queue or one agent arrives as it was published.
    What the client is told of a delivery counts until it is acknowledged or the link goes down, which brings it again.
    Nothing here waits or raises.
    """

    up: bool

    @property
    def product(self) -> str:
        """What is in the middle, for people: "RabbitMQ 3.10.8"; "" before the first connection."""

    @property
    def down_reason(self) -> str | None:
        """Why the link is down, for people; None while it is up."""

    @property
    def foreign(self) -> ForeignPeers:
        """Agents and masters of other versions."""

    @property
    def user(self) -> str:
        """In whose name the master speaks."""

    @property
    def unconfirmed(self) -> int:
        """Publications that are not answered."""

    def start(self) -> None:
        """Begin; returns at once and goes on for ever."""

    def stop(self, timeout: float = 2.0) -> Any:
        """Wait up to `timeout` seconds for confirms, then close; fires when nothing is left open."""

    def publish_offer(self, offer: Offer, priority: int = 0) -> None:
        """To its capability's queue, which is made before where it is not there."""

    def ensure_queues(self, signatures: Iterable[str], then: Callable[[], None] | None = None) -> None:
        """Make the `cap.*` queues of `signatures`, so that agents may consume them; `then` runs afterwards."""

    def send(self, message: Message, address: str) -> None:
        """To one agent, in the version agreed with it; comes back as `message_returned` where nobody is there."""

    def version_at(self, address: str) -> int:
        """The version of the protocol that was agreed with this agent."""

    def broadcast(self, message: Message) -> None:
        """To every agent that is connected."""

    def send_marker(self, message: Message) -> None:
        """To this bridge itself, behind all that is in its claims (rule 10)."""

    def publish_catalogue(self, catalogue: Catalogue) -> None:
        """To every agent, once the queues that it names are there."""

    def publish_work(self, work: Work) -> None:
        """For people who ask."""

    def dead_offer(self, offer: Offer, reason: str, priority: int = 0) -> None:
        """To the dead letters; `reason` is for people."""

    def ack(self, delivery: int) -> None:
        """The delivery of that number is done with; one of before the last link-up is void."""

    def dead_letter(self, delivery: int, reason: str) -> None:
        """A copy of the delivery to the dead letters; it still wants its `ack`."""

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> Any:
        """Take the offers for which `stale` says so out of a queue where they wait; fires when done, never fails."""

    def peek(self, queue: str, limit: int) -> Any:
        """The first messages of a queue, (routing key, properties, body) each, and how many more there are.

        Fires with both. Fails with a `LinkError` where the link is down.
        """

    def delete_empty(self, signature: str) -> Any:
        """Delete the queue of `signature` if nothing waits in it; fires with whether it is gone, never fails."""
