"""What an agent asks of a transport, and what it is told: the contract that each transport keeps.

`Link` keeps a link up for ever over whichever transport its URL names; an `OpenLink` is one life of it. What holds for
all of them is tested by one suite, `tests/transports`; how to write another is in docs/how-to/add-a-transport.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from contracts.foreign import ForeignPeers
from contracts.messages import AnyMessage, Status
from contracts.protocol_version import Agreements
from worker_agent.core.actions import Publish
from worker_agent.core.inputs import Input

#: What becomes of an offer: off its queue, back after a while, back at once.
Settle = Literal["ack", "park", "give_back"]


class Arrived(Protocol):
    """A message as a transport brought it, with what that says of its sender."""

    body: bytes

    @property
    def headers(self) -> Mapping[str, Any]: ...
    @property
    def exchange(self) -> str | None: ...
    @property
    def routing_key(self) -> str | None: ...
    @property
    def user_id(self) -> str | None:
        """The account that published it, which the transport has verified."""

    @property
    def type(self) -> str | None: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def priority(self) -> int | None: ...
    @property
    def redelivered(self) -> bool | None: ...


async def _nobody_holds(_descriptor: int) -> Callable[[], None] | None:
    return None


@dataclass(frozen=True, kw_only=True)
class LinkListener:
    """Who is told of what a link brings. Each is called in the event loop, and must only note, but for `hold`."""

    on_input: Callable[[Input], None]
    #: of a `cap.*` queue that does not exist (any more)
    queue_gone: Callable[[str], None]
    #: of each message that went to `bb.dead`
    sent_to_dead: Callable[[], None]
    #: of each wish for the agent's status
    asked: Callable[[], None]
    #: have all processes that keep sessions hold a copy of this connection (a descriptor), until what is returned is
    #: called; None: they do not
    hold: Callable[[int], Awaitable[Callable[[], None] | None]] = _nobody_holds


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a link keeps from one connection to the next, whatever the transport."""

    agent: str
    #: numbers of deliveries, which the machine never sees twice
    deliveries: Iterator[int]
    agreements: Agreements = field(default_factory=Agreements)
    foreign: ForeignPeers = field(default_factory=ForeignPeers)


class OpenLink(Protocol):
    """One life of a link. `open` makes it; it is over when `lost` is done, whose result is the reason for people.

    It owns all that it starts, tasks and sockets: after `close` none of them is left, and no input comes any more.

    In order: what is published, and what is done to offers and consumers, each in the order in which it was asked for.
    Each publication with a token is answered once, by `Confirmed` or `Refused`, unless the link is lost first. A
    second offer comes only after the machine has asked for one again; what is held when the link is lost goes to
    others, marked as redelivered, and is void here. Nothing here waits, blocks or raises, but for `open`.
    """

    #: the agent's, new with each life
    address: str
    #: seconds since the epoch, when it was opened
    opened_at: float
    lost: asyncio.Future[str]

    @property
    def product(self) -> str:
        """What is in the middle, for people: "RabbitMQ 3.10.8"."""

    @property
    def consuming(self) -> frozenset[str]:
        """`cap.*` queues that are consumed now."""

    @property
    def unconfirmed(self) -> int:
        """Publications that are not answered."""

    async def open(self) -> None:
        """Raises `LinkError`; then, and when cancelled, nothing is left open."""

    async def close(self) -> None:
        """Said goodbye where that can be, else cut."""

    def publish(self, order: Publish, after: asyncio.Future[None] | None = None) -> None:
        """Once `after` is done."""

    def publish_status(self, status: Status) -> None:
        """To all that look at the fleet; nobody need hear it."""

    def consume(self, queues: tuple[str, ...]) -> None:
        """From these `cap.*` queues, the first first, and no others, from now on."""

    def cancel_consumers(self) -> None:
        """From no queue, from now on."""

    def settle(self, delivery: int, how: Settle) -> None:
        """What becomes of the offer that came as this delivery; void for one that is gone."""

    def send_to_dead(self, delivery: int, reason: str) -> None:
        """The offer as it came to the dead letters with the reason, and off its queue; parked where that fails."""

    def reject(self, message: AnyMessage, reason: str) -> None:
        """A message that is not to be believed: to the dead letters with the reason."""

    def hold_until(self, gate: asyncio.Future[None]) -> None:
        """Orders on offers that are given from now on wait for `gate`; publications do not."""

    async def flush(self) -> None:
        """Until all that was ordered is carried out and confirmed."""

    async def existing(self, queues: Iterable[str], misses: int | None = None) -> dict[str, bool] | None:
        """Which of `queues` exist, as far as was looked: `misses` that do not are enough. None: it was lost."""
