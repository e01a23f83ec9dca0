"""Opens the three connections and everything on them, once. What keeps them open is in `link`.

One publishes, one consumes what is for this master, one hears the fleet: RabbitMQ blocks who has published when it is
short of memory, and what all agents tell of themselves is read in turns (`connection/pace.py`).

`Connections` owns all that it starts: connections, also those that are still being opened, what waits on them and what
is tried again later. After `close` none of it goes on, so that no former connection consumes what the next one wants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from twisted.internet import defer, protocol, task
from twisted.python.failure import Failure

from contracts import topology
from contracts.operations.broker_failure import BrokerFailure
from contracts.rabbitmq.arguments import Kind, arguments
from contracts.rabbitmq.product import Product, introduced
from contracts.rabbitmq.refusals import Differs
from contracts.timing import DUPLICATE_MASTER_AFTER
from master_bridge.link.amqp.connection.channel import Calls
from master_bridge.link.amqp.connection.confirms import ConfirmWatch
from master_bridge.link.amqp.connection.endpoint import CONNECT_TIMEOUT, endpoint
from master_bridge.link.amqp.connection.failures import failure_of
from master_bridge.link.amqp.connection.protocol import BrokerProtocol
from master_bridge.link.amqp.connection.publisher import Publisher
from master_bridge.link.amqp.queues.consumer import Consumer
from master_bridge.link.amqp.queues.declarations import DurableQueue, bridge_queues
from master_bridge.link.amqp.queues.declaring import Declaring
from master_bridge.link.amqp.queues.deleted import unless_deleted
from master_bridge.link.carried import Delivered, Publication
from master_bridge.link.errors import ChannelLost, DuplicateMaster, LinkError
from master_bridge.link.settings import LinkSettings

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Seconds from the connected socket to AMQP's open-ok.
HANDSHAKE_TIMEOUT = 15
#: Messages of `events.<master>` under way to us. Their bytes are bounded by the sessions' windows.
EVENTS_PREFETCH = 2000
#: Seconds between tries to consume the claims queue while a former connection of ours, not given up yet, has it.
GHOST_RETRY = 1.0
#: Heartbeats after which the broker has noticed that a former connection of ours is gone; it notices after two.
GHOST_HEARTBEATS = 3
#: Seconds between two new publishing channels.
RENEW_EVERY = 5.0
#: Seconds between two looks at whether all that was declared is still there: what somebody deletes is back within a
#: minute. A look takes three round trips for each queue, none of which fails.
RESTORE_EVERY = 20.0


class Connections:
    """These connections, from `open` to the first thing that breaks. `on_lost(reason)` is called once."""

    def __init__(
        self,
        reactor: Any,
        settings: LinkSettings,
        on_lost: Callable[[BrokerFailure | str], None],
        sign: Any = None,
    ) -> None:
        self._sign = sign
        self._reactor = reactor
        self._settings = settings
        self._name = f"{settings.master} (bridge)"
        self._on_lost: Callable[[BrokerFailure | str], None] | None = on_lost
        self._publishing: BrokerProtocol | None = None
        self._consuming: BrokerProtocol | None = None
        self._hearing: BrokerProtocol | None = None
        #: all that were made, open or not
        self._made: list[BrokerProtocol] = []
        #: what is being done and has not come to an end
        self._work: set[defer.Deferred[Any]] = set()
        self._closed = False
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

    def own(self, work: defer.Deferred[Any]) -> defer.Deferred[Any]:
        """`work`, which is cancelled when these connections are closed before it is done."""
        if self._closed:
            work.cancel()
            return work
        self._work.add(work)

        def done(result: Any) -> Any:
            self._work.discard(work)
            return result

        return work.addBoth(done)

    @defer.inlineCallbacks
    def open(
        self,
        *,
        on_returned: Callable[[Publication], None],
        on_refused: Callable[[Publication], None],
        on_blocked: Callable[[str | None], None],
        on_restored: Callable[[frozenset[str]], None],
    ) -> Any:
        """The connections, exchanges, the bridge's queues, the publisher; nothing is consumed yet.

        `on_restored` is told at each look which exchanges and queues had been deleted and are there again.
        """
        self._publishing = yield self._connect(f"{self._name}, publishes")
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
        self._consuming = yield self._connect(f"{self._name}, consumes")
        self._hearing = yield self._connect(f"{self._name}, hears")
        yield self._declare_fleet_queue()
        self._watch = ConfirmWatch(self._reactor, oldest=self._oldest, ask=self._ask, end=self._lost)
        self._watch.start()
        self._on_restored = on_restored
        self._restoring.start(RESTORE_EVERY, now=False)

    def declare(self, queue: DurableQueue) -> defer.Deferred[Any]:
        """One queue; one that exists with other arguments is used as it is, and said so."""
        return _open(self._declared).queue(queue)

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
            made = yield self.own(self.declaring.run(self._restore_all))
        except Exception as error:  # a closed connection, or a broker that refuses: the next link says why
            if self._on_lost is not None:
                why = self._why(error)
                self._lost(f"cannot declare again what this master needs: {why}")
            return
        self._tell_made(made)

    def _tell_made(self, made: frozenset[str]) -> None:
        if made:
            log.warning("amqp.queues_declared_again", names=sorted(made), detail="somebody had deleted them")
        if self._on_lost is not None:
            self._on_restored(made)

    @defer.inlineCallbacks
    def _restore_all(self) -> Any:
        if self._declared is None:
            return frozenset()
        made = yield self._declared.restore()
        if self._fleet_queue:
            hearing = _open(self._hearing)
            hearing.read_at_once()  # others wait for what is declared
            yield unless_deleted(self._bind_fleet, self._declared.exchanges_anew)
            hearing.read_in_turns()
        return made

    @defer.inlineCallbacks
    def consume_claims(self, on_message: Callable[[Delivered], None], on_held: Callable[[str], None]) -> Any:
        """Exclusive (rule 4). Fires at consume-ok; `on_held(reason)` is called at the first refusal, and
        `DuplicateMaster` comes when they go on for longer than a former connection of ours can be there."""
        queue = topology.claims_queue(self._settings.master)
        patience = max(DUPLICATE_MASTER_AFTER, GHOST_HEARTBEATS * self._settings.heartbeat)
        started = self._reactor.seconds()
        refused = False
        while True:
            again = lambda reason: self._consume_again(  # noqa: E731  # bound late on purpose, used twice
                "claims", reason, lambda: self.consume_claims(on_message, on_held)
            )
            consumer = Consumer(_open(self._consuming), queue, on_message, again, exclusive=True)
            if (yield consumer.start()):
                return
            holder = (
                f"another master named {self._settings.master!r} is running on {self._settings.address}: it consumes "
                f"{queue}. Give each master its own name (AMQPBroker(master=…)), or stop the other one"
            )
            if not refused:
                refused = True
                on_held(f"{holder}; or the broker still has our former connection: tried again for {patience:.0f} s")
            if self._reactor.seconds() - started > patience:
                raise DuplicateMaster(f"{holder} and restart this one")
            yield _sleep(self._reactor, GHOST_RETRY)

    @defer.inlineCallbacks
    def consume_events(self, on_message: Callable[[Delivered], None]) -> Any:
        queue = topology.events_queue(self._settings.master)
        again = lambda reason: self._consume_again(  # noqa: E731  # as above
            "events", reason, lambda: self.consume_events(on_message)
        )
        yield Consumer(_open(self._consuming), queue, on_message, again, prefetch=EVENTS_PREFETCH).start()

    @defer.inlineCallbacks
    def _declare_fleet_queue(self) -> Any:
        """What is said from now on waits in it."""
        calls = Calls((yield _open(self._hearing).open_channel()))
        answer = yield calls.call(
            "queue_declare",
            queue="",
            exclusive=True,
            auto_delete=True,
            arguments=arguments(Kind.FLEET, version=self.product.version),
        )
        self._fleet_queue = answer.method.queue
        yield self.declaring.run(unless_deleted, self._bind_fleet, _open(self._declared).exchanges_anew)

    @defer.inlineCallbacks
    def consume_fleet(self, on_message: Callable[[Delivered], None]) -> Any:
        """Status of all agents, catalogues and work of all masters."""
        hearing = _open(self._hearing)
        yield Consumer(hearing, self._fleet_queue, on_message, self._lost, auto_ack=True).start()
        hearing.read_in_turns()

    @defer.inlineCallbacks
    def _bind_fleet(self) -> Any:
        calls = Calls((yield _open(self._hearing).open_channel()))
        for key in (topology.STATUS_KEY, topology.CATALOGUE_KEY, topology.WORK_KEY):
            yield calls.call("queue_bind", queue=self._fleet_queue, exchange=topology.FLEET, routing_key=f"{key}.#")
        calls.close()

    def open_channel(self) -> defer.Deferred[Any]:
        """A channel on the consuming connection, for sweeps."""
        return _open(self._consuming).open_channel()

    def close(self) -> defer.Deferred[Any]:
        """End all of it without telling anybody; fires when the sockets are closed, `CLOSE_TIMEOUT` later at most."""
        self._on_lost = None
        self._closed = True
        if self._watch is not None:
            self._watch.stop()
        if self._restoring.running:
            self._restoring.stop()
        for connection in self._made:
            connection.end()
        for work in list(self._work):
            self._reactor.callLater(0, work.cancel)  # not from within what it is doing just now
        made = [connection for connection in self._made if connection.connected]
        return defer.DeferredList([_when_gone(connection) for connection in made])

    def _oldest(self) -> float | None:
        publishers = [*self._retired, *([self.publisher] if self.publisher is not None else [])]
        return min((since for one in publishers if (since := one.oldest) is not None), default=None)

    @defer.inlineCallbacks
    def _make_publisher(self) -> Any:
        assert self._publishing is not None
        channel = yield self._publishing.open_channel()
        publisher = Publisher(
            channel, *self._answers, self._sign, user=self._settings.address.user, clock=self._reactor.seconds
        )
        yield publisher.start()
        # Among others when somebody deletes an exchange: the next link makes it anew.
        channel.add_on_close_callback(
            lambda _channel, reason: (
                self._lost(failure_of(reason, self._settings.address)) if self.publisher is publisher else None
            )
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

    def _consume_again(self, what: str, reason: str, start: Callable[[], defer.Deferred[Any]]) -> None:
        """A consumer broke. On a live connection (consumer timeout, failover) consume anew, else the link is down."""
        if self._closed or self._consuming is None or not self._consuming.is_open:
            return
        log.info("amqp.consumer_failed", queue=what, reason=reason)

        def failed(failure: Failure) -> None:
            if self._on_lost is not None:
                why = self._why(failure.value)
                self._lost(f"cannot consume {what} again: {why}")

        self.own(self._consume_restored(start)).addErrback(failed)

    @defer.inlineCallbacks
    def _consume_restored(self, start: Callable[[], defer.Deferred[Any]]) -> Any:
        """Somebody may have deleted the queue, others with it, and may go on to do so."""

        def anew() -> defer.Deferred[Any]:
            return self.declaring.run(self._restore_all).addCallback(self._tell_made)

        yield anew()
        yield unless_deleted(start, anew)

    def _why(self, error: BaseException) -> BrokerFailure | str:
        return str(error) if isinstance(error, LinkError) else failure_of(error, self._settings.address)

    def _lost(self, reason: BrokerFailure | str) -> None:
        callback = self._on_lost
        self.close()
        if callback is not None:
            callback(reason)

    def _protocol(self, name: str) -> BrokerProtocol:
        made = BrokerProtocol(self._settings, name, self._lost, self._reactor)
        self._made.append(made)
        if self._closed:
            made.end()
        return made

    @defer.inlineCallbacks
    def _connect(self, name: str) -> Any:
        factory = protocol.Factory.forProtocol(lambda: self._protocol(name))
        factory.noisy = False  # Twisted's lines about factories mean nothing to anybody
        connecting = endpoint(self._reactor, self._settings).connect(factory)
        connecting.addTimeout(CONNECT_TIMEOUT, self._reactor)
        connected = yield connecting
        ready = connected.ready
        if ready is not None:
            timeout = self._reactor.callLater(HANDSHAKE_TIMEOUT, connected.too_late)
            try:
                yield ready
            finally:
                if timeout.active():
                    timeout.cancel()
        return connected


def _open(part: T | None) -> T:
    if part is None:
        raise ChannelLost("the connection is closed")
    return part


def _when_gone(connection: BrokerProtocol) -> defer.Deferred[None]:
    result: defer.Deferred[None] = defer.Deferred()

    def gone(value: Any) -> Any:
        result.callback(None)
        return value

    connection.gone.addBoth(gone)
    return result


def _sleep(reactor: Any, seconds: float) -> defer.Deferred[None]:
    """Cancelled, its timer goes, too."""
    result: defer.Deferred[None] = task.deferLater(reactor, seconds)
    return result
