"""Opens the two connections and everything on them, once. What keeps them open is in `link`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet import defer, protocol, task

from contracts import topology
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.rabbitmq.product import Product, introduced
from contracts.rabbitmq.refusals import Differs
from contracts.timing import DUPLICATE_MASTER_AFTER
from master_bridge.link.channel import Calls
from master_bridge.link.confirms import ConfirmWatch
from master_bridge.link.consumer import Consumer, Delivered
from master_bridge.link.declarations import Queue, bridge_queues
from master_bridge.link.declaring import Declaring
from master_bridge.link.endpoint import endpoint
from master_bridge.link.errors import ChannelLost, DuplicateMaster
from master_bridge.link.protocol import BrokerProtocol
from master_bridge.link.publisher import Publication, Publisher
from master_bridge.link.settings import LinkSettings

log = structlog.get_logger(__name__)

#: Seconds from the connected socket to AMQP's open-ok.
HANDSHAKE_TIMEOUT = 15
#: Messages of `events.<master>` under way to us. Their bytes are bounded by the sessions' windows.
EVENTS_PREFETCH = 2000
#: Seconds between tries to consume the claims queue while a ghost of our former connection has it.
GHOST_RETRY = 1.0
#: Seconds between two new publishing channels.
RENEW_EVERY = 5.0
#: Seconds between two looks at whether all that was declared is still there: what somebody deletes is back within a
#: minute. A look takes three round trips for each queue, none of which fails.
RESTORE_EVERY = 20.0


class Connections:
    """One pair of connections, from `open` to the first thing that breaks. `on_lost(reason)` is called once."""

    def __init__(self, reactor: Any, settings: LinkSettings, on_lost: Callable[[str], None], sign: Any = None) -> None:
        self._sign = sign
        self._reactor = reactor
        self._settings = settings
        self._on_lost: Callable[[str], None] | None = on_lost
        self._publishing: BrokerProtocol | None = None
        self._consuming: BrokerProtocol | None = None
        self.publisher: Publisher | None = None
        self._watch: ConfirmWatch | None = None
        #: publishers that only wait for their last confirms
        self._retired: list[Publisher] = []
        self._renewed_at = float("-inf")
        #: held while something is declared
        self.declaring = defer.DeferredLock()
        self._declared: Declaring | None = None
        self._restoring = task.LoopingCall(self._restore)
        self._restoring.clock = reactor
        self._fleet_queue = ""
        #: held while a queue is swept: after a start all are, and each sweep takes a channel
        self.sweeping = defer.DeferredLock()
        self.product = Product()

    @defer.inlineCallbacks
    def open(
        self,
        *,
        on_returned: Callable[[Publication], None],
        on_refused: Callable[[Publication], None],
        on_blocked: Callable[[bool], None],
        on_restored: Callable[[frozenset[str]], None],
    ) -> Any:
        """Both connections, exchanges, the bridge's queues and the publisher; nothing is consumed yet.

        `on_restored` is told at each look which exchanges and queues had been deleted and are there again.
        """
        name = f"{self._settings.master} (bridge)"
        self._publishing = yield self._connect(f"{name}, publishes")
        self._publishing.on_blocked(on_blocked)
        self.product = introduced(self._publishing.server_properties)
        self._declared = Declaring(self._publishing, self._differs)
        yield self._declared.exchanges()
        for queue in bridge_queues(
            self._settings.master,
            version=self.product.version,
            queue_type=self._settings.queue_type,
            events_max_bytes=self._settings.events_max_bytes,
        ):
            yield self._declared.queue(queue)
        self._answers = on_returned, on_refused
        self.publisher = yield self._make_publisher()
        self._consuming = yield self._connect(f"{name}, consumes")
        self._watch = ConfirmWatch(self._reactor, oldest=self._oldest, ask=self._ask, end=self._lost)
        self._watch.start()
        self._on_restored = on_restored
        self._restoring.start(RESTORE_EVERY, now=False)

    def declare(self, queue: Queue) -> defer.Deferred[Any]:
        """One queue; one that exists with other arguments is used as it is, and said so."""
        if self._declared is None:
            raise ChannelLost("the connection is closed")
        return self._declared.queue(queue)

    def forget(self, queue: str) -> None:
        """It is deleted on purpose."""
        if self._declared is not None:
            self._declared.forget(queue)

    @staticmethod
    def _differs(found: Differs) -> None:
        log.warning("amqp.queue_differs", queue=found.name, detail=str(found))

    @defer.inlineCallbacks
    def _restore(self) -> Any:
        """What somebody deleted is made again, while the connections live."""
        try:
            made = yield self.declaring.run(self._restore_all)
        except Exception as error:  # a closed connection, or a broker that refuses: the next link says why
            self._lost(f"cannot declare again what this master needs: {error}")
            return
        if made:
            log.warning("amqp.made_again", names=sorted(made), detail="somebody had deleted them")
        if self._on_lost is not None:
            self._on_restored(made)

    @defer.inlineCallbacks
    def _restore_all(self) -> Any:
        if self._declared is None:
            return frozenset()
        made = yield self._declared.restore()
        if self._fleet_queue:
            calls = Calls((yield self._require_consuming().open_channel()))
            yield self._bind_fleet(calls)
            calls.close()
        return made

    @defer.inlineCallbacks
    def consume_claims(self, on_message: Callable[[Delivered], None]) -> Any:
        """Exclusive (rule 4). Fires at consume-ok; `DuplicateMaster` after a minute of refusals."""
        queue = topology.claims_queue(self._settings.master)
        started = self._reactor.seconds()
        refused = False
        while True:
            again = lambda reason: self._consume_again(  # noqa: E731  # bound late on purpose, used twice
                "claims", reason, lambda: self.consume_claims(on_message)
            )
            consumer = Consumer(self._consuming, queue, on_message, again, exclusive=True)
            if (yield consumer.start()):
                return
            if not refused:
                refused = True
                log.info("amqp.claims_queue_held", queue=queue, detail="a ghost of our former connection; trying again")
            if self._reactor.seconds() - started > DUPLICATE_MASTER_AFTER:
                raise DuplicateMaster(
                    f"another master named {self._settings.master!r} is running on "
                    f"{self._settings.address}: it consumes {queue}. Give each master its own name "
                    f"(AMQPBroker(master=…)), or stop the other one and restart this one"
                )
            yield _sleep(self._reactor, GHOST_RETRY)

    @defer.inlineCallbacks
    def consume_events(self, on_message: Callable[[Delivered], None]) -> Any:
        queue = topology.events_queue(self._settings.master)
        again = lambda reason: self._consume_again(  # noqa: E731  # as above
            "events", reason, lambda: self.consume_events(on_message)
        )
        yield Consumer(self._consuming, queue, on_message, again, prefetch=EVENTS_PREFETCH).start()

    @defer.inlineCallbacks
    def consume_fleet(self, on_message: Callable[[Delivered], None]) -> Any:
        """Status of all agents and catalogues of all masters, through a queue of this connection's own."""
        calls = Calls((yield self._require_consuming().open_channel()))
        answer = yield calls.call(
            "queue_declare",
            queue="",
            exclusive=True,
            auto_delete=True,
            arguments=arguments(Kind.FLEET, version=self.product.version),
        )
        self._fleet_queue = answer.method.queue
        yield self._bind_fleet(calls)
        yield Consumer(self._consuming, self._fleet_queue, on_message, self._lost, auto_ack=True).start()

    @defer.inlineCallbacks
    def _bind_fleet(self, calls: Calls) -> Any:
        for key in (topology.STATUS_KEY, topology.CATALOGUE_KEY):
            yield calls.call("queue_bind", queue=self._fleet_queue, exchange=topology.FLEET, routing_key=f"{key}.#")

    def open_channel(self) -> defer.Deferred[Any]:
        """A channel on the consuming connection, for sweeps."""
        return self._require_consuming().open_channel()

    def close(self) -> None:
        """End both without telling anybody."""
        self._on_lost = None
        if self._watch is not None:
            self._watch.stop()
        if self._restoring.running:
            self._restoring.stop()
        for connection in (self._publishing, self._consuming):
            if connection is not None:
                connection.abort()

    def _oldest(self) -> float | None:
        publishers = [*self._retired, *([self.publisher] if self.publisher is not None else [])]
        return min((since for one in publishers if (since := one.oldest) is not None), default=None)

    @defer.inlineCallbacks
    def _make_publisher(self) -> Any:
        assert self._publishing is not None
        channel = yield self._publishing.open_channel()
        publisher = Publisher(channel, *self._answers, self._sign, self._reactor.seconds)
        yield publisher.start()
        # Among others when somebody deletes an exchange: the next link makes it anew.
        channel.add_on_close_callback(
            lambda _channel, reason: self._lost(str(reason)) if self.publisher is publisher else None
        )
        return publisher

    @defer.inlineCallbacks
    def renew_publisher(self) -> Any:
        """Publish on another channel from now on, unless that was done a moment ago.

        A channel that was opened while a quorum queue had no leader may be refused everything for as long as it lives
        (RabbitMQ 3.10.8); another one looks the leader up anew.
        """
        now = self._reactor.seconds()
        if now - self._renewed_at < RENEW_EVERY:
            return
        self._renewed_at = now
        old, self.publisher = self.publisher, (yield self._make_publisher())
        if old is not None:
            self._retired.append(old)
            old.drained().addCallback(lambda _: self._close_retired(old))

    def _close_retired(self, publisher: Publisher) -> None:
        self._retired.remove(publisher)
        publisher.close()

    @defer.inlineCallbacks
    def _ask(self) -> Any:
        """Something small that the broker answers after all that was published."""
        if self._publishing is not None:
            channel = yield self._publishing.open_channel()
            channel.close()

    def _require_consuming(self) -> BrokerProtocol:
        if self._consuming is None:
            raise ChannelLost("the connection is closed")
        return self._consuming

    def _consume_again(self, what: str, reason: str, start: Callable[[], defer.Deferred[Any]]) -> None:
        """A consumer broke. On a live connection (consumer timeout, failover) consume anew, else the link is down."""
        if self._on_lost is None or self._consuming is None or not self._consuming.is_open:
            return
        log.info("amqp.consumer_broken", queue=what, reason=reason)
        again = self.declaring.run(self._restore_all)  # somebody may have deleted the queue
        again.addCallback(lambda _made: start())
        again.addErrback(lambda failure: self._lost(f"cannot consume {what} again: {failure.getErrorMessage()}"))

    def _lost(self, reason: str) -> None:
        callback = self._on_lost
        self.close()
        if callback is not None:
            callback(reason)

    @defer.inlineCallbacks
    def _connect(self, name: str) -> Any:
        factory = protocol.Factory.forProtocol(lambda: BrokerProtocol(self._settings, name, self._lost, self._reactor))
        connected = yield endpoint(self._reactor, self._settings).connect(factory)
        ready = connected.ready
        if ready is not None:
            timeout = self._reactor.callLater(HANDSHAKE_TIMEOUT, connected.abort)
            try:
                yield ready
            finally:
                if timeout.active():
                    timeout.cancel()
        return connected


def _sleep(reactor: Any, seconds: float) -> defer.Deferred[None]:
    result: defer.Deferred[None] = defer.Deferred()
    reactor.callLater(seconds, result.callback, None)
    return result
