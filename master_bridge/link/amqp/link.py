"""The bridge's link to the broker: up or down, never anybody's wait.

Everything handed to a link that is down is void: the machine's rules publish again what matters at the next link-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
from twisted.internet import defer, threads
from twisted.python.failure import Failure

from contracts.messages import Catalogue, Offer
from contracts.operations.broker_failure import BrokerFailure
from contracts.operations.reachability import looked_at
from master_bridge.link import publications
from master_bridge.link.amqp.connection.failures import CA_SETTING, failure_of
from master_bridge.link.amqp.connections import Connections
from master_bridge.link.amqp.offer_queues import OfferQueues
from master_bridge.link.amqp.queues.peeking import peek
from master_bridge.link.backoff import Backoff
from master_bridge.link.carried import Delivered, Publication
from master_bridge.link.client import LinkClient
from master_bridge.link.errors import BadSettings, ChannelLost, DuplicateMaster, LinkError
from master_bridge.link.port import NOT_STARTED
from master_bridge.link.reader import Reader
from master_bridge.link.saying import SayingLink
from master_bridge.link.settings import LinkSettings

log = structlog.get_logger(__name__)

#: A publication that the broker refused (nack) is tried again after this many seconds, while the link is up.
REFUSED_RETRY = 1.0
#: A link that lived shorter than this, in seconds, counts as a failed try: the pauses go on growing.
SETTLED = 10.0
#: What the broker refuses because of the URL, which may have changed since it was read.
OF_THE_URL = frozenset({"login", "vhost"})


class Link(SayingLink):
    """Keeps the connections of one bridge open from `start` to `stop`, and carries messages both ways.

    `renew_url` is asked for the URL, which may have another password by then, after the broker refused it.
    """

    def __init__(
        self,
        reactor: Any,
        settings: LinkSettings,
        client: LinkClient,
        renew_url: Callable[[], defer.Deferred[str]] | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._client = client
        self._renew_url = renew_url
        self._url_refused = False
        self._renewing: defer.Deferred[Any] | None = None
        self._up_since = 0.0
        self._sign = settings.signer()
        self._backoff = Backoff()
        self._connections: Connections | None = None
        #: those whose broker's certificate is looked at, since it was not believed
        self._looking: Connections | None = None
        self._retry: Any = None
        self._running = False
        self._complained: str | None = None
        self._deliveries: dict[int, Delivered] = {}
        self._next_delivery = 0
        self._queues: OfferQueues | None = None
        self._catalogue: Catalogue | None = None
        #: seconds since the epoch, when a queue was last made that somebody had deleted; 0: never
        self._made = 0.0
        self._reader = Reader(
            settings.master,
            client,
            publish=self._publish,
            answer=lambda found: self._publish(publications.to_agent(found.answer, found.address, found.version)),
        )
        self.up = False
        #: what the broker says it is: "RabbitMQ 3.10.8"; "" before the first connection
        self.product = ""
        #: why the link is down, for people; None while it is up
        self.down_reason: str | None = NOT_STARTED

    @property
    def unconfirmed(self) -> int:
        """Publications that wait for the broker's confirm."""
        connections = self._connections
        return connections.publisher.unconfirmed if connections is not None and connections.publisher else 0

    def start(self) -> None:
        """Begin to connect; returns at once and goes on for ever."""
        if not self._running:
            self._running = True
            self._try()

    @defer.inlineCallbacks
    def stop(self, timeout: float = 2.0) -> Any:
        """Wait up to `timeout` seconds for confirms, then close; fires when nothing is left at the broker."""
        self._running = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._renewing is not None:
            self._renewing.cancel()
        connections = self._connections
        if connections is not None and self.up and connections.publisher is not None:
            waiting = connections.publisher.drained()
            waiting.addTimeout(timeout, self._reactor)
            waiting.addErrback(lambda _failure: None)  # what is unconfirmed now is said again by the next incarnation
            yield waiting
        yield self._down("stopped")

    # -- publishing ---------------------------------------------------------------------------------------------------

    def publish_offer(self, offer: Offer, priority: int = 0) -> None:
        """To its capability's queue, which is declared before if this connection has not done so yet."""
        self._publish_declared(publications.of_offer(offer, priority), offer.signature)

    def _publish_declared(self, publication: Publication, signature: str) -> None:
        """Once its queue is there."""
        queues = self._queues
        if queues is None or not self.up:
            return
        if queues.has(signature):
            self._publish(publication)
        else:
            self.ensure_queues([signature], then=lambda: queues.publish(publication, signature))

    def ensure_queues(self, signatures: Iterable[str], then: Callable[[], None] | None = None) -> None:
        """Declare the `cap.*` queues of `signatures`, so that agents may consume them; `then` runs afterwards."""
        connections, queues = self._connections, self._queues
        if connections is None or queues is None or not self.up:
            return
        result = connections.own(queues.ensure(signatures, then))
        result.addErrback(lambda failure: self._lost(connections, self._explain(failure.value)))

    def _restored(self, connections: Connections, made: frozenset[str]) -> None:
        """All is there again; agents are told, so that they look for the queues that they have missed."""
        if connections is self._connections and self._queues is not None:
            self._queues.look_again()
            if made:
                self._tell_made()

    def _tell_made(self) -> None:
        self._made = time.time()
        if self._catalogue is not None:
            self.publish_catalogue(self._catalogue)

    def publish_catalogue(self, catalogue: Catalogue) -> None:
        """Once the queues that it names are there: an agent that looks for one too early looks again seconds later."""
        self._catalogue = catalogue
        publication = publications.of_catalogue(catalogue, self._made)
        self.ensure_queues(catalogue.signatures, then=lambda: self._publish(publication))

    # -- deliveries ---------------------------------------------------------------------------------------------------

    def sweep(self, signature: str, stale: Callable[[Offer], bool]) -> defer.Deferred[Any]:
        """Take the offers for which `stale` says so out of a queue where they wait; fires when done, never fails."""
        queues = self._queues
        return defer.succeed(None) if queues is None or not self.up else queues.sweep(signature, stale)

    @defer.inlineCallbacks
    def peek(self, queue: str, limit: int) -> Any:
        """The first messages of a queue (`peeking.peek`). Fails with `ChannelLost` where the link is down."""
        if (connections := self._connections) is None or not self.up:
            raise ChannelLost("the broker is out of reach")
        channel = yield connections.own(connections.open_channel())
        return (yield connections.own(peek(channel, queue, limit)))

    def delete_empty(self, signature: str) -> defer.Deferred[Any]:
        """Delete the queue of `signature` if nothing waits in it; fires with whether it is gone, never fails."""
        queues = self._queues
        return defer.succeed(False) if queues is None or not self.up else queues.delete_empty(signature)

    # -- up and down --------------------------------------------------------------------------------------------------

    def _try(self) -> None:
        self._retry = None
        if self._url_refused and self._renew_url is not None:
            self._url_refused = False
            self._renewing = self._renew_url()
            self._renewing.addCallbacks(self._renewed, self._not_renewed)
            self._renewing.addCallback(lambda _: self._connect())
        else:
            self._connect()

    def _renewed(self, url: str) -> None:
        if url != self._settings.url:
            self._settings = replace(self._settings, url=url)
            log.info("amqp.url_changed", address=str(self._settings.address))

    def _not_renewed(self, failure: Failure) -> None:
        if self._running:
            log.warning("amqp.url_unreadable", reason=failure.getErrorMessage(), effect="the URL read before is used")

    def _connect(self) -> None:
        self._renewing = None
        if not self._running:
            return
        connections = Connections(
            self._reactor, self._settings, lambda reason: self._lost(connections, reason), self._sign
        )
        self._connections = connections
        self._queues = OfferQueues(connections, self._settings.queue_type, self._publish)
        connections.own(self._open(connections)).addErrback(lambda failure: self._failed(connections, failure.value))

    @defer.inlineCallbacks
    def _open(self, connections: Connections) -> Any:
        yield connections.open(
            on_returned=self._returned,
            on_refused=self._refused,
            on_blocked=self._blocked,
            on_restored=lambda made: self._restored(connections, made),
        )
        yield connections.consume_claims(self._delivered, self._held)
        if connections is not self._connections or not self._running:
            return
        self.up, self.down_reason, self.product = True, None, str(connections.product)
        self._up_since = self._reactor.seconds()
        log.info("amqp.link_up", broker=self.product, address=str(self._settings.address))
        self._client.link_up()
        yield connections.consume_events(self._delivered)
        yield connections.consume_fleet(self._fleet)

    def _held(self, reason: str) -> None:
        """Another connection consumes our claims queue."""
        self._complain("amqp.claims_queue_held", reason)

    def _blocked(self, reason: str | None) -> None:
        if reason is None:
            log.info("amqp.unblocked", address=str(self._settings.address))
        else:
            log.warning("amqp.blocked", address=str(self._settings.address), reason=reason,
                        remedy="free memory or disk on the broker's machine")  # fmt: skip
        self._client.link_blocked(reason is not None)

    def _explain(self, error: BaseException) -> BrokerFailure | str:
        return str(error) if isinstance(error, LinkError) else failure_of(error, self._settings.address)

    def _failed(self, connections: Connections, error: Exception) -> None:
        if connections is not self._connections:
            return  # closed in the meantime: whatever became of it is nobody's business
        if isinstance(error, (BadSettings, DuplicateMaster)):
            self._running = False
            self._down(str(error))
            log.error("amqp.link_stopped", reason=str(error))
            self._client.link_stopped(str(error))
        else:
            self._lost(connections, self._explain(error))

    def _lost(self, connections: Connections, why: BrokerFailure | str) -> None:
        if connections is not self._connections or connections is self._looking:
            return
        if isinstance(why, BrokerFailure) and why.unverified:
            self._look_at_certificate(connections, why)
            return
        self._url_refused = isinstance(why, BrokerFailure) and why.part in OF_THE_URL
        if self.up:
            self._complained = None
        if self.up and self._reactor.seconds() - self._up_since >= SETTLED:
            self._backoff.reset()
        self._down(str(why))
        if not self._running:
            return
        self._complain("amqp.link_down", str(why))
        self._retry = self._reactor.callLater(self._backoff.next(), self._try)

    def _look_at_certificate(self, connections: Connections, why: BrokerFailure) -> None:
        """It is told with the day on which its time was over, where that is the reason: so it ends a little later.

        What else is told of these connections until then comes of that.
        """
        self._looking = connections
        pool, address = self._reactor.getThreadPool(), self._settings.address
        look = threads.deferToThreadPool(self._reactor, pool, looked_at, why, address, ca=CA_SETTING)

        def looked(seen: BrokerFailure) -> None:
            self._looking = None
            self._lost(connections, replace(seen, unverified=False))

        look.addErrback(lambda _failure: why).addCallback(looked)

    def _complain(self, event: str, reason: str) -> None:
        """One line per change of state, not one per try."""
        self.down_reason = reason
        if reason != self._complained:
            self._complained = reason
            log.warning(event, address=str(self._settings.address), reason=reason)

    def _down(self, reason: str) -> defer.Deferred[Any]:
        """Fires when the connections are closed."""
        was_up, self.up, self.down_reason = self.up, False, reason
        connections, self._connections = self._connections, None
        self._deliveries.clear()
        self._queues = None
        closed = connections.close() if connections is not None else defer.succeed(None)
        if was_up:
            self._client.link_down(reason)
        return closed

    # -- what the broker brings ---------------------------------------------------------------------------------------

    def _delivered(self, delivered: Delivered) -> None:
        """From the claims or events queue."""
        reply = self._reader.reply(delivered)
        if reply is None:
            delivered.ack()
            return
        self._next_delivery += 1
        self._deliveries[self._next_delivery] = delivered
        self._client.message_received(self._next_delivery, reply.message, reply.user, reply.size)

    def _fleet(self, delivered: Delivered) -> None:
        if (message := self._reader.of_fleet(delivered)) is not None:
            self._client.fleet_heard(message)

    def _returned(self, publication: Publication) -> None:
        message = publication.message
        if isinstance(message, Offer):
            # somebody deleted the queue: make it again, and publish again
            log.warning("amqp.offer_queue_missing", queue=publication.routing_key)
            if self._queues is not None:
                self._queues.forget(message.signature)
            self._publish_declared(publication, message.signature)
            self._tell_made()
        elif message is not None:
            self._client.message_returned(message, publication.routing_key)  # type: ignore[arg-type]  # we sent it

    def _refused(self, publication: Publication) -> None:
        """A full queue, or a channel that asks a leader which is gone: once more, on another channel."""
        log.warning("amqp.publish_refused", exchange=publication.exchange, key=publication.routing_key)
        self._reactor.callLater(REFUSED_RETRY, self._publish_elsewhere, self._connections, publication)

    def _publish_elsewhere(self, connections: Connections | None, publication: Publication) -> None:
        if connections is None or connections is not self._connections:
            return  # the machine says again what counts, at each link-up

        def publish(_result: object) -> None:
            if connections is self._connections and publication.persistent:  # what is not will be said again anyway
                self._publish(publication)

        connections.own(connections.renew_publisher()).addBoth(publish)  # without another channel: on the old one

    def _publish(self, publication: Publication) -> None:
        if self.up and self._connections is not None and self._connections.publisher is not None:
            self._connections.publisher.publish(publication)
