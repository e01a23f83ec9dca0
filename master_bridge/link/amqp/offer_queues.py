"""The `cap.*` queues of one life of the link: declared when first wanted, swept, and deleted when empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import structlog
from twisted.internet import defer
from twisted.python.failure import Failure

from contracts import topology
from contracts.messages import Offer
from contracts.rabbitmq.arguments import QueueType
from master_bridge.link.amqp.connections import Connections
from master_bridge.link.amqp.queues.declarations import offer_queue
from master_bridge.link.amqp.queues.removal import delete_empty
from master_bridge.link.amqp.queues.sweep import sweep
from master_bridge.link.carried import Publication
from master_bridge.link.errors import Mismatch, NotDeclared

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
        """Was it declared on these connections?"""
        return signature in self._declared

    def forget(self, signature: str) -> None:
        """Its queue is gone, or about to go."""
        self._declared.discard(signature)

    def look_again(self) -> None:
        """What could not be had is worth another try."""
        self._not_now.clear()

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> defer.Deferred[Any]:
        """Take the offers for which `stale` says so out of a queue where they wait; fires when done, never fails."""
        connections = self._connections
        result = connections.own(connections.sweeping.run(self._sweep, topology.cap_queue(signature), stale))
        result.addErrback(
            lambda failure: log.info("amqp.queue_cleanup_failed", signature=signature, reason=failure.getErrorMessage())
        )
        return result

    @defer.inlineCallbacks
    def _sweep(self, queue: str, stale: Callable[[Offer], bool]) -> Any:
        channel = yield self._connections.open_channel()
        return (yield sweep(channel, queue, stale))

    def delete_empty(self, signature: str) -> defer.Deferred[Any]:
        """Delete the queue of `signature` if nothing waits in it; fires with whether it is gone, never fails."""
        connections, queue = self._connections, topology.cap_queue(signature)
        self.forget(signature)
        connections.forget(queue)
        result = connections.own(connections.open_channel().addCallback(delete_empty, queue))

        def failed(failure: Failure) -> bool:
            log.info("amqp.queue_deletion_failed", signature=signature, reason=failure.getErrorMessage())
            return False

        return result.addErrback(failed)

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
