"""Does this agent take new work, and if not, why? One answer for its loop, its consumers, status, log and doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal


class Order(Enum):
    """What people, or the agent's own settings, have asked of it; what leads from one to the next is in `orders`."""

    #: take work
    WORK = "work"
    #: take nothing new, stay
    PAUSE = "pause"
    #: take nothing new, exit when nothing is held any more
    LEAVE = "leave"
    #: it has exited: nothing is handled any more
    LEFT = "left"


class Obstacle(Enum):
    """A reason against new work. The value is for people."""

    LEAVING = "it is leaving"
    PAUSED = "it is paused"
    UNWELL = "the machine is not fit for new work"
    KEEPERS_FAIL = "keepers cannot be started, for the time being"
    LINK_DOWN = "the link to the broker is down"
    NO_QUEUES = "no queue is known that it qualifies for"
    CLAIMING = "an offer is being claimed"
    FULL = "all slots are taken"


@dataclass(frozen=True, kw_only=True)
class Availability:
    """All that decides about new work, at one moment. The defaults are those of an agent that takes some."""

    order: Order = Order.WORK
    #: an operator's pause lasts: why, for people; it may outlive the order, on an agent that leaves
    pause: str | None = None
    #: the self-check's reasons against new work, for people
    unwell: tuple[str, ...] = ()
    #: a keeper ended before it had done anything, and the pause after that lasts
    keepers_fail: bool = False
    linked: bool = True
    #: a queue is known to exist that it may consume
    qualifies: bool = True
    #: an offer is in hand, and nothing is decided about it
    claiming: bool = False
    #: sessions that take a slot, and how many may
    taken: int = 0
    slots: int = 1

    @property
    def obstacles(self) -> tuple[Obstacle, ...]:
        """Why no new work is taken; empty: some is. What people must see to comes first."""
        facts = (
            (Obstacle.LEAVING, self.order is Order.LEAVE or self.order is Order.LEFT),
            (Obstacle.PAUSED, self.order is Order.PAUSE),
            (Obstacle.UNWELL, self.unwell),
            (Obstacle.KEEPERS_FAIL, self.keepers_fail),
            (Obstacle.LINK_DOWN, not self.linked),
            (Obstacle.NO_QUEUES, not self.qualifies),
            (Obstacle.CLAIMING, self.claiming),
            (Obstacle.FULL, self.taken >= self.slots),
        )
        return tuple([obstacle for obstacle, stands in facts if stands])

    @property
    def closed(self) -> bool:
        """New work would be refused even with a free slot in hand: an offer that is here already is given back."""
        against = {Obstacle.LEAVING, Obstacle.PAUSED, Obstacle.UNWELL, Obstacle.KEEPERS_FAIL}
        return not against.isdisjoint(self.obstacles)

    @property
    def takes(self) -> bool:
        """Offers are consumed."""
        return not self.obstacles

    @property
    def state(self) -> Literal["ready", "draining", "paused", "unwell"]:
        """In one word, for a status."""
        if self.order in (Order.LEAVE, Order.LEFT) or (self.order is Order.PAUSE and self.taken):
            return "draining"
        if self.order is Order.PAUSE:
            return "paused"
        return "unwell" if self.unwell else "ready"

    @property
    def drains(self) -> bool:
        """Somebody waits for the end of what is held."""
        return self.order is not Order.WORK

    def texts(self) -> tuple[str, ...]:
        """`obstacles` in words, with what is known of each."""
        known = {Obstacle.PAUSED: self.pause, Obstacle.UNWELL: ", ".join(self.unwell)}
        return tuple(
            f"{obstacle.value}: {known[obstacle]}" if known.get(obstacle) else obstacle.value
            for obstacle in self.obstacles
        )
