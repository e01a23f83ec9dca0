"""Whether the broker can see to it that a channel's consumers bring one offer in all, not one each."""

from __future__ import annotations

import structlog

from contracts.rabbitmq.facts import SHARED_PREFETCH_DENIED
from contracts.rabbitmq.product import Version

log = structlog.get_logger(__name__)


class SharedPrefetch:
    """Whether a broker lets the consumers of a channel share their prefetch of 1 (`basic.qos` with `global`).

    Shared, the broker hands nothing more out while an offer is held. Else each other consumer may bring one more, which
    is turned away (`OfferConsumers`). An agent does the same in both cases, so it need not find out a broker whose
    owner denies it, which takes it for a prefetch of each consumer without a word. Quorum queues close the connection
    for it: after that it is not tried again in the life of this object, that is, of the process.
    """

    def __init__(self) -> None:
        self._refused = False

    def usable(self, version: Version) -> bool:
        """For a broker of this version."""
        return not self._refused and version < SHARED_PREFETCH_DENIED

    def refused(self, reason: str) -> None:
        """This broker does not have it for a queue of ours: from now on the agent does without."""
        self._refused = True
        log.info(
            "shared_prefetch_refused",
            reason=reason,
            effect="a second offer that a queue hands out meanwhile is given back from now on",
            remedy="none is needed",
        )
