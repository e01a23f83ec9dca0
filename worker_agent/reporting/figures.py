"""What the agent counts. Plain numbers, so that they cost nothing where nobody looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from cachetools import FIFOCache

from contracts.messages import Claim, Event, Grant, Refuse
from contracts.operations.histogram import Histogram
from worker_agent.core.actions import Action, MasterSilent, Publish
from worker_agent.core.inputs import Input, LinkDown, MessageReceived, OfferDelivered, Refused

#: Claims whose answer is awaited that are remembered; an answer to an older one is not timed.
PENDING = 64


@dataclass
class Figures:
    """Counted since the process started. Times are seconds, sizes bytes."""

    claims: int = 0
    grants: int = 0
    refusals: int = 0
    publications_refused: int = 0
    links_lost: int = 0
    masters_silenced: int = 0
    dead_letters: int = 0
    events: int = 0
    event_bytes: int = 0
    #: from claim to grant, and how long offers had waited in their queue
    claim_latency: Histogram = field(default_factory=Histogram)
    offer_wait: Histogram = field(default_factory=Histogram)
    offers: int = 0
    _pending: FIFOCache[str, float] = field(default_factory=partial(FIFOCache, PENDING))

    def saw(self, received: Input, now: float, wall: float) -> None:
        """`now`: monotonic seconds; `wall`: seconds since the epoch, as in `Offer.published`."""
        if isinstance(received, OfferDelivered):
            self.offers += 1
            self.offer_wait.observe(max(0.0, wall - received.offer.published))
        elif isinstance(received, MessageReceived):
            message = received.message
            if isinstance(message, Grant) and (asked := self._pending.pop(message.session, None)) is not None:
                self.grants += 1
                self.claim_latency.observe(now - asked)
            elif isinstance(message, Refuse):
                self.refusals += 1
                self._pending.pop(message.session, None)
        elif isinstance(received, Refused):
            self.publications_refused += 1
        elif isinstance(received, LinkDown):
            self.links_lost += 1
            self._pending.clear()

    def sent_to_dead(self) -> None:
        """A message was put into `dead`."""
        self.dead_letters += 1

    def did(self, action: Action, now: float) -> None:
        """An action was carried out, at `now` (monotonic seconds)."""
        if isinstance(action, MasterSilent):
            self.masters_silenced += action.silent
        if not isinstance(action, Publish):
            return
        if isinstance(action.message, Claim):
            self.claims += 1
            self._pending[action.message.session] = now
        elif isinstance(action.message, Event):
            self.events += 1
            self.event_bytes += len(action.message.data)
