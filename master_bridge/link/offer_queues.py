"""The `cap.*` queues of one pair of connections: declared when they are first wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import structlog
from twisted.internet import defer

from contracts.rabbitmq.arguments import QueueType
from master_bridge.link.connection.publisher import Publication
from master_bridge.link.connections import Connections
from master_bridge.link.errors import Mismatch, NotDeclared
from master_bridge.link.queues.declarations import offer_queue

log = structlog.get_logger(__name__)


class OfferQueues:
    """Which of them are there. One that cannot be had must not stop all builds: its offers wait for it here."""

    def __init__(self, connections: Connections, queue_type: QueueType, publish: Callable[[Publication], None]) -> None:
        self._connections = connections
        self._queue_type: QueueType = queue_type
        self._publish = publish
        self._declared: set[str] = set()
        #: signatures whose queue cannot be had, and why; and those of them that wait for `look_again`
        self._unusable: dict[str, str] = {}
        self._not_now: set[str] = set()
        self._waiting: dict[str, list[Publication]] = {}

    def ensure(self, signatures: Iterable[str], then: Callable[[], None] | None) -> defer.Deferred[Any]:
        """Declare those that are not there, then call `then`; in turn: of two offers for a new queue the first stays
        the first."""
        missing = [signature for signature in signatures if signature not in self._declared]
        return self._connections.declaring.run(self._declare, missing, then)

    def publish(self, publication: Publication, signature: str) -> None:
        """To its queue, or as soon as that can be had."""
        if signature in self._declared:
            self._publish(publication)
        else:
            self._waiting.setdefault(signature, []).append(publication)

    def has(self, signature: str) -> bool:
        return signature in self._declared

    def forget(self, signature: str) -> None:
        """Its queue is gone, or about to go."""
        self._declared.discard(signature)

    def look_again(self) -> None:
        """What could not be had is worth another try."""
        self._not_now.clear()

    @defer.inlineCallbacks
    def _declare(self, signatures: list[str], then: Callable[[], None] | None) -> Any:
        for signature in signatures:
            if signature in self._declared or signature in self._not_now:
                continue  # by the one before, in the meantime
            version = self._connections.product.version
            queue = offer_queue(signature, version=version, queue_type=self._queue_type)
            try:
                yield self._connections.declare(queue)
            except (Mismatch, NotDeclared) as error:
                self._not_now.add(signature)
                if self._unusable.get(signature) != str(error):
                    self._unusable[signature] = str(error)
                    log.error("amqp.queue_unusable", queue=queue.name, reason=str(error))
                continue
            self._unusable.pop(signature, None)
            self._declared.add(signature)
            for publication in self._waiting.pop(signature, ()):
                self._publish(publication)
        if then is not None:
            then()
