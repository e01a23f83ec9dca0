"""One life of the link: the connection open and the control queue consumed, until it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import exceptions as amqp

from contracts import topology
from contracts.messages import AnyMessage, Status
from contracts.operations.broker_failure import plain
from contracts.rabbitmq.product import Product
from worker_agent.core.actions import Publish
from worker_agent.core.inputs import Input
from worker_agent.link.amqp.channels import when_closed
from worker_agent.link.amqp.confirms import ConfirmWatch
from worker_agent.link.amqp.declare import Declared, declare_control_queue, existing_queues, product_of
from worker_agent.link.amqp.delivery import consume
from worker_agent.link.amqp.offers import OfferConsumers
from worker_agent.link.amqp.opening import Opened, open_connection
from worker_agent.link.amqp.outlet import Outlet
from worker_agent.link.amqp.prefetch import SharedPrefetch
from worker_agent.link.amqp.publisher import Publisher
from worker_agent.link.amqp.transport import Heard
from worker_agent.link.control import ControlReader
from worker_agent.link.errors import LIBRARY_ERRORS, LinkError, loss_of
from worker_agent.link.in_time import undisturbed
from worker_agent.link.offered import OfferReader
from worker_agent.link.options import LinkOptions
from worker_agent.link.port import Kept, LinkListener, Settle

log = structlog.get_logger(__name__)

#: Seconds for cancelled tasks to end, once their connections are closed.
TASKS_END = 5.0
#: Seconds between two looks at whether exchanges and bindings are still there: below the minute that docs promise. It
#: is next to all that an idle agent asks of a broker.
RESTORE_EVERY = 40.0


@dataclass(frozen=True, kw_only=True)
class OfBroker:
    """What a link to one RabbitMQ keeps from one connection to the next."""

    prefetch: SharedPrefetch = field(default_factory=SharedPrefetch)
    declared: Declared = field(default_factory=Declared)


class Connected:
    """An `OpenLink` over RabbitMQ: the connection open and the control queue consumed.

    An agent has one connection. A broker under a resource alarm does not read from it then, once it has published, so
    what the agent settles waits, too, until the alarm is over. Nobody waits for that: the claim, the events and the
    master's answers before it are publications, which wait as well. A second connection costs a broker 0.08 MB.
    """

    consumers: OfferConsumers
    publisher: Publisher

    def __init__(
        self, options: LinkOptions, address: str, listener: LinkListener, kept: Kept, of_broker: OfBroker
    ) -> None:
        self.options = options
        self._listener = listener
        self._kept = kept
        self._of_broker = of_broker
        self.address = address
        #: seconds since the epoch, when the connection was opened
        self.opened_at = 0.0
        self._product = Product()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._closed = False
        self._opened: Opened | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connection(self) -> AbstractConnection:
        """Its only one. Raises `LinkError` before it is open."""
        if self._opened is None:
            raise LinkError("the connection is not open yet")
        return self._opened.connection

    @property
    def product(self) -> str:
        """The broker's version, as it says it."""
        return self._product.text

    async def open(self) -> None:
        """Connect, declare, consume the control queue."""
        try:
            await self._open()
        except LIBRARY_ERRORS as error:
            failure = loss_of(error, self.options, self._said)
            await self.close()
            raise LinkError(failure) from error
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        self._opened = await open_connection(self.options)
        connection = self._opened.connection
        connection.close_callbacks.add(self._connection_closed)
        self.opened_at = time.time()
        self._product = product_of(connection)
        await self._of_broker.declared.exchanges(connection)
        outlet = Outlet(connection, lost=partial(self._channel_closed, "publishing channel"))
        await outlet.open()
        self.publisher = Publisher(
            outlet,
            user=self.options.user,
            agent=self._kept.agent,
            on_input=self._on_input,
            broken=lambda error: self._end(self._explain(error)),
            sent_to_dead=self._listener.sent_to_dead,
            agreements=self._kept.agreements,
        )
        self.consumers = OfferConsumers(
            connection,
            on_input=self._on_input,
            deliveries=self._kept.deliveries,
            dead=self.publisher.send_to_dead,
            queue_gone=self._listener.queue_gone,
            reader=OfferReader(trust=self.options.trust, foreign=self._kept.foreign),
            shared=self.options.one_offer and self._of_broker.prefetch.usable(self._product.version),
        )
        control = outlet.consumed()  # one channel more would cost a broker 0.02 MB
        when_closed(control, partial(self._channel_closed, "control channel"))
        await declare_control_queue(control, self.address)
        reader = ControlReader(
            self.address,
            kept=self._kept,
            trust=self.options.trust,
            on_input=self._on_input,
            asked=self._listener.asked,
            dead=self.publisher.send_to_dead,
        )
        # Without acknowledgements: the queue dies with this connection, so one would save nothing.
        tag = await consume(control, self.address, reader.read, acknowledged=False)
        self.consumers.also_look = partial(self._look_at_control, control.consumers, tag)
        self._spawn(self._keep_declared())
        self._spawn(self._run_consumers())
        self._spawn(self._watch_confirms(outlet))

    async def close(self) -> None:
        """Close what is open and end what runs, cancelled or not. The broker takes back what was not acknowledged."""
        self._end("closed")
        self._closed = True
        await undisturbed(self._close())

    async def _close(self) -> None:
        running: set[asyncio.Task[Any]] = set(self._tasks)
        if hasattr(self, "publisher"):
            running |= self.publisher.under_way
        for task in running:
            task.cancel()
        if self._opened is not None:
            await self._opened.close()
        if running:
            await asyncio.wait(running, timeout=TASKS_END)

    # -- what ends it ----------------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)

    def _connection_closed(self, _connection: object, error: BaseException | None) -> None:
        if isinstance(error, amqp.ConnectionNotImplemented):  # of all that an agent asks, only this may not be there
            self._of_broker.prefetch.refused(str(error))
        self._end(self._explain(error))

    def _channel_closed(self, which: str, error: BaseException | None) -> None:
        self._end(self._explain(error) if self._said else f"{which}: {self._explain(error)}")

    @property
    def _said(self) -> Heard | None:
        """What the broker said when it closed the connection with a reason."""
        heard = self._opened.heard if self._opened is not None else None
        return heard if heard is not None and heard.close is not None else None

    def _explain(self, error: BaseException | None) -> str:
        return str(loss_of(error, self.options, self._said))

    def _on_input(self, what: Input) -> None:
        if not self._closed:
            self._listener.on_input(what)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """Each of them is to live as long as the link: without one it would receive nothing, so it connects anew."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("link_part_failed", exc_info=error)
            self._end(f"a part of it failed: {plain(error) or type(error).__name__}")

    async def _run_consumers(self) -> None:
        try:
            await self.consumers.run()
        except LIBRARY_ERRORS as error:
            self._end(self._explain(error))

    async def _watch_confirms(self, outlet: Outlet) -> None:
        try:
            await ConfirmWatch(oldest=lambda: self.publisher.oldest, ask=outlet.ask, end=self._end).run()
        except LIBRARY_ERRORS as error:
            self._end(self._explain(error))

    def _look_at_control(self, live: Container[str], tag: str) -> None:
        """The control queue is this connection's own; without its consumer no orders come, so connect again."""
        if tag not in live:  # the library has no event for it in every version
            self._end("the broker cancelled the consumer of the control queue")

    async def _keep_declared(self) -> None:
        """What somebody deletes is there again within a minute; nothing fails while all is there."""
        try:
            while True:
                await asyncio.sleep(RESTORE_EVERY)
                await self._of_broker.declared.again(self.connection, self.address)
        except (LinkError, *LIBRARY_ERRORS) as error:
            self._end(str(error) if isinstance(error, LinkError) else self._explain(error))

    # -- orders ------------------------------------------------------------------------------------------------------

    @property
    def consuming(self) -> frozenset[str]:
        """Names of the queues that it may be handed an offer of."""
        return self.consumers.consuming

    @property
    def unconfirmed(self) -> int:
        """Publications that the broker has not confirmed."""
        return self.publisher.unconfirmed

    def publish(self, order: Publish, after: asyncio.Future[None] | None = None) -> None:
        """With `after`, not before that is done."""
        self.publisher.publish(order, after)

    def publish_status(self, status: Status) -> None:
        """To `bb.fleet`, for whoever listens now."""
        self.publisher.publish_to_fleet(status, topology.STATUS_KEY)

    def consume(self, queues: tuple[str, ...]) -> None:
        """From these queues, and no others; done later, in the order of calls."""
        self.consumers.consume(queues)

    def cancel_consumers(self) -> None:
        """From none."""
        self.consumers.cancel()

    def settle(self, delivery: int, how: Settle) -> None:
        """Done later, in the order of calls; a delivery of a channel that is gone is void."""
        self.consumers.settle(delivery, how)

    def send_to_dead(self, delivery: int, reason: str) -> None:
        """To `bb.dead` as it came, then acknowledged."""
        self.consumers.send_to_dead(delivery, reason)

    def reject(self, message: AnyMessage, reason: str) -> None:
        """To `bb.dead`: a message that could be read and is not believed."""
        self.publisher.reject(message, reason, self.address)

    def hold_until(self, gate: asyncio.Future[None]) -> None:
        """What is ordered from now on waits for `gate`."""
        self.consumers.hold_until(gate)

    async def flush(self) -> None:
        """Until all that was ordered is carried out, and confirmed."""
        await self.consumers.carried_out()
        await self.publisher.confirmed()

    async def existing(self, queues: Iterable[str], misses: int | None = None) -> dict[str, bool] | None:
        """Which of them are there; None: the link broke meanwhile."""
        try:
            return await existing_queues(self.connection, queues, misses)
        except LIBRARY_ERRORS:
            return None
