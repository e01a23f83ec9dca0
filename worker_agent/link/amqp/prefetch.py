"""How many offers the broker may hand an agent at once: one of each queue, or, where the broker can, one in all."""

from __future__ import annotations

from typing import Literal

import structlog

from contracts.rabbitmq.facts import SHARED_PREFETCH_DENIED
from contracts.rabbitmq.product import Version

log = structlog.get_logger(__name__)

Choice = Literal["auto", "always", "never"]


class SharedPrefetch:
    """Whether the consumers of a channel share their prefetch of 1 (`basic.qos` with `global`).

    Shared, the broker hands nothing more out while an offer is held: the other consumers need neither be cancelled at
    each claim nor started again after it, which costs a queue the more, the more consumers it has, and nothing slips
    in. It fits an agent of one slot; one of several holds an offer and waits for the next.

    Quorum queues know no shared prefetch: the broker closes the connection. A broker whose owner denies it takes it for
    a prefetch of each consumer, without a word. After either it is not tried again in the life of this object, that is,
    of the process.
    """

    def __init__(self, choice: Choice) -> None:
        """With "auto" before `SHARED_PREFETCH_DENIED`, with "always" everywhere: the broker's owner permitted it."""
        self._choice = choice
        self._refused = False

    def usable(self, version: Version) -> bool:
        """For a broker of this version."""
        if self._refused or self._choice == "never":
            return False
        return self._choice == "always" or version < SHARED_PREFETCH_DENIED

    def refused(self, reason: str) -> None:
        """This broker does not have it: from now on the agent does without."""
        self._refused = True
        log.info(
            "shared_prefetch_refused",
            reason=reason,
            effect="offers are consumed with a prefetch for each queue from now on",
            remedy="none is needed; --shared-prefetch never spares the attempt",
        )
