"""Reads what came as an offer: the input of the machine, or what becomes of it without the machine."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from contracts import topology
from contracts.foreign import ForeignPeers
from contracts.topology import key_word
from worker_agent.core.inputs import OfferDelivered
from worker_agent.link.incoming import NotAnOffer, WrongVersion, deaths, read_offer, too_long_parked
from worker_agent.link.port import Arrived
from worker_agent.signatures import Trust

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ParkIt:
    """Another agent may understand it."""


@dataclass(frozen=True)
class PutToDead:
    """Nobody may, or it is not to be believed; `reason` is for people."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class OfferReader:
    """`foreign` counts what comes from masters of other versions."""

    trust: Trust
    foreign: ForeignPeers

    def read(self, message: Arrived, queue: str, delivery: int) -> OfferDelivered | ParkIt | PutToDead:
        """`delivery`: the number under which the machine settles it."""
        # An offer waits, is parked and comes again, so it need not be fresh; then nothing comes of it without a grant.
        refusal = self.trust.refusal(message, topology.OFFERS, queue, fresh=False)
        if refusal is not None:
            log.error("offer_sender_not_verified", type="offer", queue=queue, reason=refusal)
            return PutToDead(refusal)
        try:
            offer = read_offer(message)
        except WrongVersion as error:
            self.foreign.hear()
            log.warning("offer_of_other_version", queue=queue, reason=str(error), remedy="upgrade this agent")
            waited = too_long_parked(message.headers)
            return ParkIt() if waited is None else PutToDead(f"{error}; {waited}")
        except NotAnOffer as error:
            log.error("offer_unreadable", queue=queue, reason=str(error))
            return PutToDead(str(error))
        return OfferDelivered(
            delivery=delivery,
            queue=queue,
            offer=offer,
            redelivered=bool(message.redelivered),
            deaths=deaths(message.headers),
            # An operator may send an offer again, under his own name: only its master's own runs at once.
            repeated=topology.AGAIN_HEADER in message.headers
            or key_word(message.user_id or "") != offer.user
            or self._repeated(message, queue, offer.offer),
        )

    def _repeated(self, message: Arrived, queue: str, offer: str) -> bool:
        """Whether its signature shows that this is no first delivery; worth a line where the broker says that it is."""
        repetition = self.trust.repetition(message)
        if repetition == "seen" and not message.redelivered and not deaths(message.headers):
            log.warning("offer_sent_again", queue=queue, offer=offer)
        return repetition is not None
