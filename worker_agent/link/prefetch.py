"""How many offers the broker may hand an agent at once: one of each queue, or, where the broker can, one in all."""

from __future__ import annotations

from typing import Literal

import structlog

from contracts.versions import compare

log = structlog.get_logger(__name__)

Choice = Literal["auto", "always", "never"]

#: RabbitMQ calls the shared prefetch (`global_qos`) deprecated; from this version on it has to be permitted.
DENIED_SINCE = "4.3"


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
        """With "auto" before `DENIED_SINCE`, with "always" in every version: the broker's owner permitted it."""
        self._choice = choice
        self._refused = False

    def usable(self, server_version: str) -> bool:
        """`server_version` as the broker gives it: "3.10.8"."""
        if self._refused or self._choice == "never":
            return False
        return self._choice == "always" or compare(server_version, DENIED_SINCE) < 0

    def refused(self, reason: str) -> None:
        self._refused = True
        log.info(
            "shared_prefetch_refused",
            reason=reason,
            effect="offers are consumed with a prefetch for each queue from now on",
            remedy="none is needed; --shared-prefetch never spares the attempt",
        )
