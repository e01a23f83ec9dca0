"""Two links as one, while a fleet moves from one place to another (docs/how-to/moving.md).

To the bridge's machine there is one link, which is up while both are. What agents say at either is said once; an agent
is told things where it was heard last; offers are at both places and ask (rule 16), so that a build is granted before
it runs, and it is granted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache
from twisted.internet import defer

from contracts.foreign import ForeignPeers
from contracts.messages import AnyMessage, Catalogue, FleetMessage, Marker, Message, Offer, Status, Work
from master_bridge.link.client import LinkClient
from master_bridge.link.port import NOT_STARTED, BridgeLink

#: Addresses of which it is known where they are, and markers of which one has come back.
ADDRESSES_MAX, MARKERS_MAX = 20_000, 1_000


@dataclass(eq=False)
class _Side:
    """One of the two, and the client that its link reports to."""

    both: BothLinks
    name: str
    up: bool = False
    link: Any = None  # a BridgeLink, made with this as its client

    def link_up(self) -> None:
        self.up = True
        self.both.side_up()

    def link_down(self, reason: str) -> None:
        self.up = False
        self.both.side_down(self, reason)

    def link_blocked(self, blocked: bool) -> None:
        self.both.side_blocked(self, blocked)

    def link_stopped(self, reason: str) -> None:
        self.both.client.link_stopped(f"{self.name}: {reason}")

    def message_received(self, delivery: int, message: AnyMessage, user: str, size: int) -> None:
        self.both.received(_Kept(side=self, delivery=delivery, message=message, user=user, size=size))

    def message_returned(self, message: AnyMessage, routing_key: str) -> None:
        self.both.returned(self, message, routing_key)

    def agent_died(self, address: str) -> None:
        self.both.client.agent_died(address)

    def message_sent_to_dead(self, reason: str, user: str) -> bool:
        return self.both.client.message_sent_to_dead(reason, user)

    def fleet_heard(self, message: FleetMessage) -> None:
        self.both.heard(self, message)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kept:
    """A delivery that is not acknowledged, as the side has told it."""

    side: _Side
    delivery: int
    message: AnyMessage
    user: str
    size: int


class BothLinks:
    """A `BridgeLink`. `make_new` and `make_old` make the link of each place for the client that it is to report to."""

    def __init__(
        self,
        client: LinkClient,
        make_new: Callable[[LinkClient], BridgeLink],
        make_old: Callable[[LinkClient], BridgeLink],
    ) -> None:
        self.client = client
        self._new = _Side(self, "the new place")
        self._old = _Side(self, "the place that is left")
        self._sides = (self._new, self._old)
        self._new.link = make_new(self._new)
        self._old.link = make_old(self._old)
        self.up = False
        self._started = False
        self._blocked: set[_Side] = set()
        self._numbers = 0
        #: in the order in which they came; told again at each link-up, as a broker would
        self._kept: dict[int, _Kept] = {}
        self._places: LRUCache[str, _Side] = LRUCache(ADDRESSES_MAX)
        #: markers that came back from one side only
        self._markers: LRUCache[tuple[str, int], _Side] = LRUCache(MARKERS_MAX)

    # -- up and down --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._started = True
        for side in self._sides:
            side.link.start()

    def stop(self, timeout: float = 2.0) -> Any:
        return defer.DeferredList([defer.maybeDeferred(side.link.stop, timeout) for side in self._sides])

    @property
    def links(self) -> tuple[BridgeLink, BridgeLink]:
        """That of the new place, and that of the one that is left."""
        return self._new.link, self._old.link

    @property
    def product(self) -> str:
        return " and ".join(side.link.product for side in self._sides if side.link.product)

    @property
    def down_reason(self) -> str | None:
        if not self._started:
            return NOT_STARTED
        missing = [f"{side.name}: {side.link.down_reason}" for side in self._sides if not side.up]
        return "; ".join(missing) or None

    @property
    def foreign(self) -> ForeignPeers:
        found: ForeignPeers = self._new.link.foreign
        return found

    @property
    def user(self) -> str:
        return str(self._new.link.user)

    @property
    def unconfirmed(self) -> int:
        return sum(side.link.unconfirmed for side in self._sides)

    def side_up(self) -> None:
        """The machine is told once both are there: it calls its agents then, wherever they are."""
        if not all(side.up for side in self._sides):
            return
        self.up = True
        self.client.link_up()
        again, self._kept = list(self._kept.values()), {}
        for kept in again:
            self._tell(kept)

    def side_down(self, side: _Side, reason: str) -> None:
        """What it brought and is not acknowledged, it brings again. What the other brings meanwhile waits."""
        self._kept = {number: kept for number, kept in self._kept.items() if kept.side is not side}
        self._markers.clear()
        self._blocked.discard(side)
        if self.up:
            self.up = False
            self.client.link_down(f"{side.name}: {reason}")

    def side_blocked(self, side: _Side, blocked: bool) -> None:
        before = bool(self._blocked)
        (self._blocked.add if blocked else self._blocked.discard)(side)
        if bool(self._blocked) != before:
            self.client.link_blocked(bool(self._blocked))

    # -- what comes ---------------------------------------------------------------------------------------------------

    def received(self, kept: _Kept) -> None:
        address = getattr(kept.message, "address", None)
        if isinstance(address, str):
            self._places[address] = kept.side
        if isinstance(kept.message, Marker) and self._is_first(kept, kept.message):
            kept.side.link.ack(kept.delivery)
            return
        self._tell(kept)

    def _is_first(self, kept: _Kept, marker: Marker) -> bool:
        """A marker says that all is in which was said before it: so it counts when it has come by both ways."""
        key = marker.incarnation, marker.k
        first = self._markers.pop(key, None)
        if first is None or first is kept.side:
            self._markers[key] = kept.side
            return True
        return False

    def _tell(self, kept: _Kept) -> None:
        self._numbers += 1
        self._kept[self._numbers] = kept
        if self.up:
            self.client.message_received(self._numbers, kept.message, kept.user, kept.size)

    def returned(self, side: _Side, message: AnyMessage, routing_key: str) -> None:
        """Nobody is there: where that was a guess only, it may be at the other place."""
        if routing_key not in self._places and side is self._new and self._old.up:
            self._places[routing_key] = self._old
            self._old.link.send(message, routing_key)
        else:
            self.client.message_returned(message, routing_key)

    def heard(self, side: _Side, message: FleetMessage) -> None:
        if isinstance(message, Status):
            self._places[message.address] = side
        self.client.fleet_heard(message)

    def ack(self, delivery: int) -> None:
        kept = self._kept.pop(delivery, None)
        if kept is not None:
            kept.side.link.ack(kept.delivery)

    def dead_letter(self, delivery: int, reason: str) -> None:
        kept = self._kept.get(delivery)
        if kept is not None:
            kept.side.link.dead_letter(kept.delivery, reason)

    # -- what is said -------------------------------------------------------------------------------------------------

    def _at(self, address: str) -> Any:
        return self._places.get(address, self._new).link

    def send(self, message: Message, address: str) -> None:
        if self.up:
            self._at(address).send(message, address)

    def version_at(self, address: str) -> int:
        return int(self._at(address).version_at(address))

    def publish_offer(self, offer: Offer, priority: int = 0) -> None:
        self._everywhere("publish_offer", offer.model_copy(update={"ask": True}), priority)

    def broadcast(self, message: Message) -> None:
        self._everywhere("broadcast", message)

    def send_marker(self, message: Message) -> None:
        self._everywhere("send_marker", message)

    def publish_catalogue(self, catalogue: Catalogue) -> None:
        self._everywhere("publish_catalogue", catalogue)

    def publish_work(self, work: Work) -> None:
        self._everywhere("publish_work", work)

    def dead_offer(self, offer: Offer, reason: str, priority: int = 0) -> None:
        if self.up:
            self._new.link.dead_offer(offer, reason, priority)

    def ensure_queues(self, signatures: Iterable[str], then: Callable[[], None] | None = None) -> None:
        names = tuple(signatures)
        if self.up:
            self._old.link.ensure_queues(names, then=lambda: self._new.link.ensure_queues(names, then))

    def _everywhere(self, method: str, *arguments: Any) -> None:
        if self.up:
            for side in self._sides:
                getattr(side.link, method)(*arguments)

    # -- queues -------------------------------------------------------------------------------------------------------

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> Any:
        return defer.gatherResults([side.link.sweep(signature, stale) for side in self._sides]).addCallback(sum)

    def peek(self, queue: str, limit: int) -> Any:
        """At the new place."""
        return self._new.link.peek(queue, limit)

    def delete_empty(self, signature: str) -> Any:
        return defer.gatherResults([side.link.delete_empty(signature) for side in self._sides]).addCallback(all)
