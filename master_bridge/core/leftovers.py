"""Offers that nobody waits for any more, in queues from which no agent takes them.

A request may have several offers: each link-up makes one, each lost session makes one, and the broker hands out again
what a killed agent held. Whoever claims what is left of them is refused and acknowledges it; but where no agent comes
it would lie there for ever, and an agent that comes runs a command of such an offer before it is refused. So when a
request is over, was withdrawn or waits elsewhere now, its queue is looked through a few times, and what a claim would
be refused for is taken out: all of ours that is of no request that waits now, whichever incarnation published it. What
an earlier one left where this one never looks for an agent is found by a look through all queues after the start
(`Declared`).

A look takes the offers of a queue out of agents' reach for a moment, and may give them back in another order. So a
queue in which an offer of ours waits is left alone; the end of that wait brings the next look. What is taken out by a
bridge that dies is offered again by its next incarnation.
"""

from __future__ import annotations

from contracts.messages import Offer
from contracts.timing import PARKED_TTL
from master_bridge.core.actions import SweepOffers
from master_bridge.core.context import Context
from master_bridge.core.records import WorkUnit
from master_bridge.core.states import State

#: Seconds after a request's end: idle agents have claimed the rest by then; what was parked is back; the broker has
#: noticed that an agent is gone (three heartbeats) and has put back what it held.
LOOKS = (2.0, PARKED_TTL + 1.0, 60.0)
#: Between two looks at one queue there are at least these seconds, however many requests end.
PACE = 10.0


class Leftovers:
    """Which queues to look through, and when. Times are the machine's seconds."""

    def __init__(self, context: Context, works: dict[str, WorkUnit]) -> None:
        self._context = context
        self._works = works
        #: signature -> when the last of its requests ended
        self._ended: dict[str, float] = {}
        #: signature -> when it was looked through last
        self._looked: dict[str, float] = {}
        self._declared: frozenset[str] = frozenset()

    def declared(self, signatures: frozenset[str]) -> None:
        """All queues that are ours now; in a new one an earlier incarnation may have left something."""
        new, self._declared = signatures - self._declared, signatures
        for signature in sorted(new):
            self.note(signature)

    def note(self, signature: str, *, at_once: bool = False) -> None:
        """A request ended or waits elsewhere now, or the queue is new to us.

        `at_once`: what it left there would be run by the first agent that takes it.
        """
        self._ended[signature] = self._context.now
        self._arm(signature)
        if at_once and self._context.active:
            self._context.timers.set("sweep", signature, self._context.now)

    def _arm(self, signature: str) -> None:
        context = self._context
        looked = self._looked.get(signature, float("-inf"))
        due = [self._ended[signature] + look for look in LOOKS if self._ended[signature] + look > looked]
        if not due:
            del self._ended[signature]
            self._looked.pop(signature, None)
        elif context.active:
            when = max(due[0], looked + PACE)
            earlier = context.timers.when("sweep", signature)
            context.timers.set("sweep", signature, when if earlier is None else min(earlier, when))

    def look(self, signature: str) -> None:
        """It is time. While one of ours waits there the queue is left alone: its end brings us here again."""
        if any(work.seek.signature == signature and work.session is None for work in self._works.values()):
            self._ended.pop(signature, None)
            self._looked.pop(signature, None)
            return
        self._looked[signature] = self._context.now
        self._context.emit(SweepOffers(signature=signature))
        self._arm(signature)

    def resume(self) -> None:
        """The link is up (again), or no longer blocked; what it was away for may have left more behind."""
        for signature in tuple(self._ended):
            self.note(signature)

    def is_stale(self, offer: Offer) -> bool:
        """A claim of `offer`, which lies in a queue, would be refused: it is of no use to anybody."""
        if offer.master != self._context.config.master:
            return False
        work = self._works.get(offer.request)
        if work is None:  # an earlier incarnation's, perhaps: should its request be sought again, it is offered anew
            return True
        if work.state is State.WAITING:
            return offer.offer not in work.offers
        return work.state is not State.WINDOW
